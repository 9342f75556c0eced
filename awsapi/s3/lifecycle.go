package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// lifecycle says what is removed by itself, and when. Transitions to other storage
// classes are kept and returned: there is one class here.
type lifecycle struct {
	XMLName xml.Name        `xml:"LifecycleConfiguration" json:"-"`
	Space   string          `xml:"xmlns,attr" json:"-"`
	Rules   []lifecycleRule `xml:"Rule" json:"rules"`
}

type lifecycleRule struct {
	ID                  string                `xml:"ID,omitempty" json:"id,omitempty"`
	Prefix              *string               `xml:"Prefix" json:"prefix,omitempty"` // the older form of a filter
	Filter              *lifecycleFilter      `xml:"Filter" json:"filter,omitempty"`
	Status              string                `xml:"Status" json:"status"`
	Transitions         []transition          `xml:"Transition" json:"transitions,omitempty"`
	Expiration          *expiration           `xml:"Expiration" json:"expiration,omitempty"`
	NoncurrentMoves     []transition          `xml:"NoncurrentVersionTransition" json:"noncurrentTransitions,omitempty"`
	NoncurrentEnd       *noncurrentExpiration `xml:"NoncurrentVersionExpiration" json:"noncurrentExpiration,omitempty"`
	AbortIncompleteLoad *abortUpload          `xml:"AbortIncompleteMultipartUpload" json:"abortIncompleteMultipartUpload,omitempty"`
}

type lifecycleFilter struct {
	Prefix  *string       `xml:"Prefix" json:"prefix,omitempty"`
	Tag     *tag          `xml:"Tag" json:"tag,omitempty"`
	Greater *int64        `xml:"ObjectSizeGreaterThan" json:"greater,omitempty"`
	Less    *int64        `xml:"ObjectSizeLessThan" json:"less,omitempty"`
	And     *lifecycleAnd `xml:"And" json:"and,omitempty"`
}

type lifecycleAnd struct {
	Prefix  *string `xml:"Prefix" json:"prefix,omitempty"`
	Tags    []tag   `xml:"Tag" json:"tags,omitempty"`
	Greater *int64  `xml:"ObjectSizeGreaterThan" json:"greater,omitempty"`
	Less    *int64  `xml:"ObjectSizeLessThan" json:"less,omitempty"`
}

type tag struct {
	Key   string `xml:"Key" json:"key"`
	Value string `xml:"Value" json:"value"`
}

type transition struct {
	Date         string `xml:"Date,omitempty" json:"date,omitempty"`
	Days         *int   `xml:"Days" json:"days,omitempty"`
	Noncurrent   *int   `xml:"NoncurrentDays" json:"noncurrentDays,omitempty"`
	Newer        *int   `xml:"NewerNoncurrentVersions" json:"newer,omitempty"`
	StorageClass string `xml:"StorageClass" json:"storageClass"`
}

type expiration struct {
	Date          string `xml:"Date,omitempty" json:"date,omitempty"`
	Days          *int   `xml:"Days" json:"days,omitempty"`
	DeleteMarkers *bool  `xml:"ExpiredObjectDeleteMarker" json:"deleteMarkers,omitempty"`
}

type noncurrentExpiration struct {
	Days  int  `xml:"NoncurrentDays" json:"days"`
	Newer *int `xml:"NewerNoncurrentVersions" json:"newer,omitempty"`
}

type abortUpload struct {
	Days int `xml:"DaysAfterInitiation" json:"days"`
}

func getLifecycle(s settings) (any, error) {
	if s.Lifecycle == nil {
		return nil, notFound("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}
	l := *s.Lifecycle
	l.Space = space
	return l, nil
}

func putLifecycle(_ context.Context, _ target, s *settings, document []byte) error {
	var l lifecycle
	if err := decode(document, "LifecycleConfiguration", &l); err != nil {
		return err
	}
	if len(l.Rules) == 0 || len(l.Rules) > 1000 {
		return malformed()
	}
	seen := map[string]bool{}
	for i := range l.Rules {
		rule := &l.Rules[i]
		if err := rule.check(); err != nil {
			return err
		}
		rule.ID = cmp.Or(rule.ID, identifier(i, document))
		if seen[rule.ID] {
			return wire.Errorf("InvalidArgument", "Rule ID must be unique. Found same ID for one or more rules")
		}
		seen[rule.ID] = true
	}
	s.Lifecycle = &l
	return nil
}

func (r *lifecycleRule) check() error {
	switch {
	case r.Status != "Enabled" && r.Status != "Disabled":
		return malformed()
	case r.Filter == nil && r.Prefix == nil, r.Filter != nil && r.Prefix != nil:
		return malformed()
	case len(r.ID) > 255:
		return wire.Errorf("InvalidArgument", "ID length should not exceed allowed limit of 255")
	case r.Expiration == nil && r.NoncurrentEnd == nil && r.AbortIncompleteLoad == nil && len(r.Transitions)+len(r.NoncurrentMoves) == 0:
		return wire.Errorf("InvalidRequest", "At least one action needs to be specified in a rule")
	}
	if e := r.Expiration; e != nil {
		switch {
		case e.Days != nil && *e.Days <= 0:
			return wire.Errorf("InvalidArgument", "'Days' for Expiration action must be a positive integer")
		case e.Date != "" && (e.Days != nil || e.DeleteMarkers != nil), e.Days != nil && e.DeleteMarkers != nil, e.Date == "" && e.Days == nil && e.DeleteMarkers == nil:
			return malformed()
		case e.Date != "":
			day, ok := dateOf(e.Date)
			if !ok {
				return malformed()
			}
			if !day.Equal(day.Truncate(24 * time.Hour)) {
				return wire.Errorf("InvalidArgument", "'Date' must be at midnight GMT")
			}
		}
	}
	if n := r.NoncurrentEnd; n != nil && n.Days <= 0 {
		return wire.Errorf("InvalidArgument", "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
	}
	if a := r.AbortIncompleteLoad; a != nil && a.Days <= 0 {
		return wire.Errorf("InvalidArgument", "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")
	}
	return nil
}

func dateOf(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if day, err := time.Parse(form, text); err == nil {
			return day.UTC(), true
		}
	}
	return time.Time{}, false
}

// due is when something that has counted from a time ends after days: at the
// midnight (UTC) that follows, as at S3.
func due(from time.Time, days int) time.Time {
	at := from.UTC().AddDate(0, 0, days)
	day := at.Truncate(24 * time.Hour)
	if day.Equal(at) {
		return day
	}
	return day.AddDate(0, 0, 1)
}

// filtered is what a rule is for.
type filtered struct {
	prefix        string
	tags          []tag
	greater, less *int64
}

func (r lifecycleRule) filter() filtered {
	var f filtered
	set := func(prefix *string, tags []tag, greater, less *int64) {
		if prefix != nil {
			f.prefix = *prefix
		}
		f.tags, f.greater, f.less = tags, greater, less
	}
	set(r.Prefix, nil, nil, nil)
	if one := r.Filter; one != nil {
		var tags []tag
		if one.Tag != nil {
			tags = []tag{*one.Tag}
		}
		set(one.Prefix, tags, one.Greater, one.Less)
		if one.And != nil {
			set(one.And.Prefix, one.And.Tags, one.And.Greater, one.And.Less)
		}
	}
	return f
}

// sized says whether a filter fits an object, its tags aside.
func (f filtered) sized(key string, size int64) bool {
	return strings.HasPrefix(key, f.prefix) && (f.greater == nil || size > *f.greater) && (f.less == nil || size < *f.less)
}

// ends says whether a rule's expiration has come for an object of this age.
func (e *expiration) ends(modified, now time.Time) bool {
	switch {
	case e == nil:
		return false
	case e.Days != nil:
		return !now.Before(due(modified, *e.Days))
	case e.Date != "":
		day, ok := dateOf(e.Date)
		return ok && !now.Before(day)
	}
	return false
}

// identifier names a rule without a name, always the same.
func identifier(place int, document []byte) string {
	sum := sha256.Sum256(append([]byte{byte(place), byte(place >> 8)}, document...))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
