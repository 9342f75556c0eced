package history

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/execution"
)

// pagesRead is how many pages are read one after the other, twice.
const pagesRead = 1500

// minForFullPages is the number of executions from which every full page is full.
const minForFullPages = 50_000

// starts is how often a control plane is started on a full store.
const starts = 3

const pageBudget = 100.0 // ms

// asked is a page that people request, and its number of rows; -1: any.
type asked struct {
	what, path string
	rows       int
}

func (f *fill) questions() []asked {
	mid, third := f.at(f.n/2), f.at(f.n/3)
	place := url.QueryEscape(execution.Cursor(int64(f.n / 10)))
	day := func(n int) string { return f.at(n).created.Format(time.RFC3339) }
	q := func(what, query string, rows int) asked {
		return asked{what, "/api/v1/executions?limit=50&" + query, rows}
	}
	return []asked{
		q("newest page", "", 50),
		q("page far down", "after="+place, 50),
		q("one application", "application=app7", -1),
		q("one application, far down", "application=app0&after="+place, 50),
		q("an application that is seldom", "application=seldom", -1),
		q("one pipeline, failed ones", "application=app0&pipeline=release&status=Terminal", 50),
		q("one pipeline, failed, far down", "application=app0&pipeline=release&status=Terminal&after="+place, -1),
		q("the pipelines of one name", "pipeline=nightly", 50),
		q("a pipeline that none has", "pipeline=nosuch", 0),
		q("a pipeline that none has, failed", "pipeline=nosuch&status=Terminal", 0),
		q("running ones (none)", "status=Running", 0),
		q("stopped ones (three in all)", "status=Stopped", 3),
		q("one day in the middle", "since="+day(f.n/2)+"&until="+day(f.n/2+4320), 50),
		q("one application, one day", "application=app1&since="+day(f.n/2)+"&until="+day(f.n/2+4320), -1),
		q("failed ones before half", "status=Terminal&until="+day(f.n/2), 50),
		q("by trigger", "trigger=schedule", 50),
		q("by trigger that none has", "trigger=webhook", 0),
		q("by parameter", "parameter=environment%3Dstaging", 50),
		q("by parameter, rare", "parameter=version%3D"+third.version, -1),
		q("by parameter, far down", "parameter=environment%3Dstaging&after="+place, 50),
		q("by a commit", "q="+third.commit, 1),
		q("by the beginning of a commit", "q="+third.commit[:8], 1),
		q("by an id", "q="+mid.id, 1),
		q("by a word that most have", "q=main", 50),
		q("by a word that most have, deep", "q=main&after="+place, 50),
		q("by the letter that most begin", "q=p", 50),
		q("by two words", "q=main+checkout", 50),
		q("by five words", "q=main+checkout+cart+login+search", -1),
		q("by two words, one rare", "q=main+"+third.commit[:9], -1),
		q("by a word and an application", "q=checkout&application=app7", -1),
		q("by a word, seldom application", "q=team&application=seldom", -1),
		q("by a word and stopped", "q=team&status=Stopped", 3),
		q("by a word and failed", "q=checkout&status=Terminal", 50),
		q("by a word and cancelled", "q=main&status=Canceled", 50),
		q("by a word never with another", "q=feature+main&status=Canceled", -1),
		q("by a word that none has", "q=nosuchword", 0),
		q("by a common word and none", "q=main+nosuchword", 0),
		{"HTML: newest page", "/executions", -1},
		{"HTML: search", "/executions?q=checkout&status=Terminal", -1},
		{"one execution", "/api/v1/executions/" + mid.id, -1},
		{"HTML: one execution", "/executions/" + mid.id, -1},
		{"events from the middle", "/api/v1/events?limit=500&from=" + strconv.Itoa(f.n*len(f.events)/2), -1},
		{"events of one execution", "/api/v1/events?execution=" + mid.id, -1},
	}
}

// pages requests typical pages from a real control plane.
func (o options) pages(ctx context.Context, p place, f *fill, fresh *plane) error {
	var c *plane
	var err error
	best := time.Hour
	for try := range starts { // the fastest time shows the store, the others the machine
		if c, err = o.start(ctx, p); err != nil {
			return err
		}
		fmt.Printf("  start %d: ready after %s\n", try+1, c.ready.Round(time.Millisecond))
		if best = min(best, c.ready); try < starts-1 {
			if err := c.stop(); err != nil {
				return err
			}
		}
	}
	defer c.stop()
	atStart := c.resident()
	var worst float64
	for _, q := range f.questions() {
		took, rows, err := c.time(ctx, q, o.asked)
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		last, most := took[len(took)-1], took[len(took)*99/100]
		worst = max(worst, last)
		over := ""
		if most >= pageBudget {
			over = "  OVER BUDGET"
			o.must(false, "%s: %s took %.1f ms (p99)", p.kind, q.what, most)
		}
		o.must(q.rows < 0 || rows == q.rows || q.rows == 50 && o.n < minForFullPages, "%s: %s has %d rows, want %d", p.kind, q.what, rows, q.rows)
		fmt.Printf("  %-31s %4d rows: p50 %6.2f ms, p99 %6.2f ms, worst of %d %6.2f ms%s\n", q.what, rows, took[len(took)/2], most, o.asked, last, over)
	}
	middle, err := c.leaf(ctx, pagesRead)
	if err != nil {
		return err
	}
	after, err := c.leaf(ctx, pagesRead)
	if err != nil {
		return err
	}
	fmt.Printf("%s: worst page %.1f ms; control is ready after %s (empty: %s); memory %d MB at the start, %d MB after the questions and 1,500 pages, %d MB after 1,500 more\n",
		p.kind, worst, best.Round(time.Millisecond), fresh.ready.Round(time.Millisecond), atStart>>20, middle>>20, after>>20)
	o.must(best < fresh.ready+250*time.Millisecond, "%s: control is ready after %s, with an empty store after %s", p.kind, best, fresh.ready)
	o.must(after < middle+16<<20, "%s: memory grew from %d to %d MB with pages", p.kind, middle>>20, after>>20)
	return nil
}

func (c *plane) time(ctx context.Context, q asked, times int) (took []float64, rows int, err error) {
	for range times {
		began := time.Now()
		raw, err := c.get(ctx, q.path)
		if err != nil {
			return nil, 0, err
		}
		took = append(took, float64(time.Since(began))/float64(time.Millisecond))
		if strings.HasPrefix(q.path, "/api/v1/executions?") {
			var page listed
			if err := json.Unmarshal(raw, &page); err != nil {
				return nil, 0, err
			}
			rows = len(page.Executions)
		}
	}
	slices.Sort(took)
	return took, rows, nil
}

// leaf reads page after page of the list, and returns the size of the process
// afterwards.
func (c *plane) leaf(ctx context.Context, n int) (int64, error) {
	query := "limit=100"
	for range n {
		page, err := c.list(ctx, query)
		if err != nil {
			return 0, err
		}
		if query = "limit=100&after=" + page.Next; page.Next == "" {
			query = "limit=100"
		}
	}
	return c.resident(), nil
}
