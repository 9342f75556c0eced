package store

import (
	"context"
	"slices"
	"time"

	"showrunner/execution"
)

// Bounds of a search: how many segments one statement looks at, how many
// executions that have the rarest term are looked at one by one, and after how
// long the page ends where the search is, for the next one to go on from.
const (
	segmentsAtOnce = 8
	fewRare        = 250
	searchTime     = 30 * time.Millisecond
)

// search reads the segments from the newest on: first one, and as long as little
// is found, more of them at once. When words that are common each but rare
// together keep it busy for too long, it returns a page that is not full, with
// the place where it stopped.
func search(ctx context.Context, p page, db lists, words, facets []string) (heads []execution.Head, next string, err error) {
	first, last, err := ends(ctx, db)
	if err != nil {
		return nil, "", err
	}
	began := time.Now()
	oldest, newest := max(p.from, first)>>segmentBits, min(p.before-1, last)>>segmentBits
	for wanted, n := p.limit, int64(1); newest >= oldest; {
		asked, lowest := time.Now(), max(oldest, newest-n+1)
		part := p
		part.limit = wanted - len(heads)
		part.from, part.before = max(p.from, lowest<<segmentBits), min(p.before, (newest+1)<<segmentBits)
		found, bounded, err := searchSegments(ctx, part, db, words, facets)
		if err != nil {
			return nil, "", err
		}
		if !bounded {
			n = 1
			continue
		}
		newest = lowest - 1
		if heads = append(heads, found...); len(heads) >= wanted {
			break
		}
		if newest >= oldest && time.Since(began) > searchTime {
			return heads, execution.Cursor((newest + 1) << segmentBits), nil
		}
		// As many more as the time that is left allows, going by what these took.
		each := time.Since(asked)/time.Duration(n) + 1
		n = max(1, min(4*n, segmentsAtOnce, int64((searchTime-time.Since(began))/each)))
	}
	heads, next = cutPage(heads, p.Limit)
	return heads, next, nil
}

// searchSegments searches the segments that a page's bounds are in. Where its
// statuses leave little of them, that is looked at one by one. Otherwise it asks
// for the rarest term first: a term that nothing or little has spares the reading
// of those that much has. No index knows both words and statuses: where much has
// the words, and there is more than one segment, it says that it would have to
// look at more than it should, and does not.
func searchSegments(ctx context.Context, p page, db lists, words, facets []string) (heads []execution.Head, bounded bool, err error) {
	few, err := fewMatch(ctx, p, db)
	if err != nil {
		return nil, false, err
	}
	if few {
		heads, err = filterOneByOne(ctx, p, db)
		return heads, true, err
	}
	var segments []string
	for n := (p.before - 1) >> segmentBits; n >= p.from>>segmentBits; n-- {
		segments = append(segments, segment(n<<segmentBits))
	}
	if len(p.Statuses) > 0 || len(words) > 1 || len(words) == 1 && len(facets) > 0 {
		var rare []string
		if len(facets) == 0 { // the longest word is a good guess
			rare = []string{slices.MaxFunc(words, func(a, b string) int { return len(a) - len(b) })}
		}
		some := p
		some.limit, some.Statuses = fewRare, nil
		heads, err := db.search(ctx, some, segments, rare, facets)
		if err != nil || len(heads) < fewRare {
			kept := slices.DeleteFunc(heads, func(h execution.Head) bool { return !p.Has(&h) || !p.hasStatus(h.Status) })
			return kept[:min(len(kept), p.limit)], true, err
		}
		if len(p.Statuses) > 0 && len(segments) > 1 {
			return nil, false, nil
		}
	}
	heads, err = db.search(ctx, p, segments, words, facets)
	return heads, true, err
}

func (p *page) hasStatus(s execution.Status) bool {
	return len(p.Statuses) == 0 || slices.Contains(p.Statuses, s)
}
