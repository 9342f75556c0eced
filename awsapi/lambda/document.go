package lambda

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"showrunner/artifact"
	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
)

// function is a function with everything that belongs to it.
type function struct {
	Name     string            `json:"name"`
	Created  time.Time         `json:"created"` // tells it from an earlier one of its name
	Latest   version           `json:"latest"`
	Versions []version         `json:"versions,omitempty"` // published, the oldest first
	Next     int               `json:"next"`               // the number of the next version
	Aliases  []alias           `json:"aliases,omitempty"`  // by name
	Policies map[string]policy `json:"policies,omitempty"` // by qualifier; empty: of the function itself
	Events   map[string]object `json:"events,omitempty"`   // settings for requests that nobody waits for, by qualifier
	Tags     map[string]string `json:"tags,omitempty"`
	Reserved *int              `json:"reserved,omitempty"` // concurrent executions
}

// version is the code and the settings of a function at one time.
type version struct {
	Number   string       `json:"number"` // $LATEST, 1, 2, …
	Settings object       `json:"settings"`
	Env      string       `json:"env,omitempty"`      // the name of the variables' values
	EnvNames []string     `json:"envNames,omitempty"` // what they are called, sorted
	EnvGiven bool         `json:"envGiven,omitempty"` // there may be none of them
	From     string       `json:"from,omitempty"`     // the description of $LATEST when it was published
	Code     artifact.Ref `json:"code"`
	Zip      artifact.Ref `json:"zip"`
	SHA256   string       `json:"sha256"` // in base64
	Size     int64        `json:"size"`   // of the zip file, in bytes
	Modified time.Time    `json:"modified"`
	Revision string       `json:"revision"`
	Creating bool         `json:"creating,omitempty"`
	Updating bool         `json:"updating,omitempty"`
	Updated  bool         `json:"updated,omitempty"` // there has been an update, or it has been created
	Layers   []usedLayer  `json:"layers,omitempty"`
}

// usedLayer is a version of a layer that a function uses.
type usedLayer struct {
	ARN  string       `json:"arn"`
	Size int64        `json:"size"`
	Code artifact.Ref `json:"code"`
}

// alias is a name for a version.
type alias struct {
	Name        string             `json:"name"`
	Version     string             `json:"version"`
	Description string             `json:"description,omitempty"`
	Weights     map[string]float64 `json:"weights,omitempty"` // of the second version
	Revision    string             `json:"revision"`
}

// policy is who may call, in AWS's words.
type policy struct {
	Statements []object `json:"statements"`
	Revision   string   `json:"revision,omitempty"` // of a layer's; a function's is that of what it is of
}

func newRevision() string { return carry.NewUUID() }

// unsettled says whether something was begun of which nobody has seen the end.
func (f *function) unsettled() bool {
	return f.Latest.Creating || f.Latest.Updating || slices.ContainsFunc(f.Versions, func(v version) bool { return v.Creating })
}

// settle ends what was begun, which is a change of its own.
func (f *function) settle() {
	f.Latest.settle()
	for n := range f.Versions {
		f.Versions[n].settle()
	}
}

func (v *version) settle() {
	if v.Creating || v.Updating {
		v.Creating, v.Updating, v.Revision = false, false, newRevision()
	}
}

// revision is that of what a qualifier means: the function, a version or an alias. nil when there is none.
func (f *function) revision(qualifier string) *string {
	if a := f.alias(qualifier); a != nil {
		return &a.Revision
	}
	if v := f.find(qualifier); v != nil {
		return &v.Revision
	}
	return nil
}

// find is a version by its number; nil when there is none.
func (f *function) find(number string) *version {
	if number == "" || number == latest {
		return &f.Latest
	}
	for n := range f.Versions {
		if f.Versions[n].Number == number {
			return &f.Versions[n]
		}
	}
	return nil
}

// alias is an alias by its name; nil when there is none.
func (f *function) alias(name string) *alias {
	for n := range f.Aliases {
		if f.Aliases[n].Name == name {
			return &f.Aliases[n]
		}
	}
	return nil
}

// qualified is the version that a qualifier means, an alias's first one. nil when there is none.
func (f *function) qualified(qualifier string) *version {
	if a := f.alias(qualifier); a != nil {
		return f.find(a.Version)
	}
	return f.find(qualifier)
}

// envs are the names of the values of environment variables that are in use.
func (f *function) envs() map[string]bool {
	used := map[string]bool{f.Latest.Env: true}
	for _, v := range f.Versions {
		used[v.Env] = true
	}
	return used
}

func modified(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+0000") }

// told is a version as its configuration says. qualifier is added to the ARN.
func (s *Service) told(region string, f *function, v *version, qualifier string, env map[string]string) object {
	out := v.Settings.Clone()
	delete(out, "Environment")
	out["FunctionName"], out["FunctionArn"], out["Version"] = f.Name, s.arn(region, f.Name, qualifier), v.Number
	out["CodeSha256"], out["CodeSize"], out["LastModified"], out["RevisionId"] = v.SHA256, v.Size, modified(v.Modified), v.Revision
	out["State"] = "Active"
	if v.Creating {
		out["State"], out["StateReason"], out["StateReasonCode"] = "Pending", "The function is being created.", "Creating"
	}
	switch {
	case v.Updating:
		out["LastUpdateStatus"], out["LastUpdateStatusReason"], out["LastUpdateStatusReasonCode"] = "InProgress", "The function is being created.", "Creating"
	case !v.Creating:
		out["LastUpdateStatus"] = "Successful"
	}
	if v.EnvGiven || len(v.EnvNames) > 0 {
		values := map[string]any{}
		for name, value := range env {
			values[name] = value
		}
		out["Environment"] = object{"Variables": values}
	}
	snap := object{"ApplyOn": "None", "OptimizationStatus": "Off"}
	out["SnapStart"] = snap
	sum := sha256.Sum256([]byte(out.Text("Runtime")))
	out["RuntimeVersionConfig"] = object{"RuntimeVersionArn": "arn:aws:lambda:" + region + "::runtime:" + hex.EncodeToString(sum[:])}
	if len(v.Layers) > 0 {
		var list []object
		for _, l := range v.Layers {
			list = append(list, object{"Arn": l.ARN, "CodeSize": l.Size})
		}
		out["Layers"] = wire.List(list)
	}
	if vpc := out.Inner("VpcConfig"); vpc != nil {
		vpc = vpc.With(object{"Ipv6AllowedForDualStack": vpc.Is("Ipv6AllowedForDualStack")})
		vpc["VpcId"] = vpc.Text("VpcId") // empty without subnets
		out["VpcConfig"] = vpc
	}
	return out
}

// toldAlias is an alias as its operations say.
func (s *Service) toldAlias(region string, f *function, a *alias) object {
	out := object{"AliasArn": s.arn(region, f.Name, a.Name), "Name": a.Name, "FunctionVersion": a.Version, "Description": a.Description, "RevisionId": a.Revision}
	if len(a.Weights) > 0 {
		weights := map[string]any{}
		for v, w := range a.Weights {
			weights[v] = w
		}
		out["RoutingConfig"] = object{"AdditionalVersionWeights": weights}
	}
	return out
}

// timeout is how long a request to a version may take.
func (v *version) timeout() time.Duration {
	return time.Duration(v.Settings.Number("Timeout", 3)) * time.Second
}

func (v *version) memory() int { return v.Settings.Number("MemorySize", 128) }

func number(n int) string { return strconv.Itoa(n) }
