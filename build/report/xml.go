package report

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// element is one element on the way from the root to where the reader stands.
type element struct {
	name string
	attr map[string]string
	text strings.Builder
}

// walk calls enter at each element's start and leave at its end, with the path
// from the root; the text of an element is complete when it is left.
func walk(r io.Reader, root []string, enter, leave func(path []*element)) error {
	d := xml.NewDecoder(r)
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var path []*element
	seen := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &element{name: t.Name.Local, attr: map[string]string{}}
			for _, a := range t.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			if !seen && !slices.Contains(root, e.name) {
				return fmt.Errorf("the outermost element is <%s>, not <%s>", e.name, root[0])
			}
			seen = true
			if len(path) > 1000 {
				return errors.New("nested too deep")
			}
			path = append(path, e)
			enter(path)
		case xml.CharData:
			if n := len(path); n > 0 && path[n-1].text.Len() < maxMessage {
				path[n-1].text.Write(t[:min(len(t), maxMessage)])
			}
		case xml.EndElement:
			leave(path)
			path = path[:len(path)-1]
		}
	}
	if !seen {
		return errors.New("the file is empty")
	}
	return nil
}

func ignore([]*element) {}

func seconds(s string) float64 {
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
	if err != nil || f < 0 {
		return 0
	}
	return f * 1000
}

func whole(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// nearestNamed is the attribute name of the closest element above that has one.
func nearestNamed(path []*element, names ...string) string {
	for _, e := range slices.Backward(path) {
		if slices.Contains(names, e.name) && e.attr["name"] != "" {
			return e.attr["name"]
		}
	}
	return ""
}

func junit(r io.Reader) ([]Case, error) {
	var cases []Case
	err := walk(r, []string{"testsuites", "testsuite"}, func(path []*element) {
		if e := path[len(path)-1]; e.name == "testcase" {
			suite := cmp.Or(e.attr["classname"], nearestNamed(path[:len(path)-1], "testsuite"))
			cases = append(cases, Case{Suite: suite, Name: e.attr["name"], Status: Succeeded, DurationMs: seconds(e.attr["time"])})
		}
	}, func(path []*element) {
		if len(path) < 2 || path[len(path)-2].name != "testcase" || len(cases) == 0 {
			return
		}
		e, c := path[len(path)-1], &cases[len(cases)-1]
		status := map[string]Status{"failure": Failed, "error": Errored, "skipped": Skipped}[e.name]
		// The worst of several wins: an error says more than a failure.
		if status == "" || c.Status == Errored || c.Status == Failed && status == Skipped {
			return
		}
		c.Status = status
		c.Message = shorten(strings.TrimSpace(e.attr["message"] + "\n" + e.text.String()))
	})
	return cases, err
}

func nunit(r io.Reader) ([]Case, error) {
	var cases []Case
	err := walk(r, []string{"test-results"}, func(path []*element) {
		e := path[len(path)-1]
		if e.name != "test-case" {
			return
		}
		c := Case{Suite: nearestNamed(path[:len(path)-1], "test-suite"), Name: e.attr["name"], DurationMs: seconds(e.attr["time"])}
		switch {
		case strings.EqualFold(e.attr["executed"], "false"), slices.Contains([]string{"Ignored", "Skipped", "NotRunnable"}, e.attr["result"]):
			c.Status = Skipped
		case e.attr["result"] == "Error":
			c.Status = Errored
		case e.attr["result"] == "Inconclusive":
			c.Status = Unknown
		case strings.EqualFold(e.attr["success"], "true"), e.attr["result"] == "Success":
			c.Status = Succeeded
		case strings.EqualFold(e.attr["success"], "false"), slices.Contains([]string{"Failure", "Failed"}, e.attr["result"]):
			c.Status = Failed
		default:
			c.Status = Unknown
		}
		cases = append(cases, c)
	}, messageOf(&cases, "test-case"))
	return cases, err
}

func nunit3(r io.Reader) ([]Case, error) {
	var cases []Case
	err := walk(r, []string{"test-run"}, func(path []*element) {
		e := path[len(path)-1]
		if e.name != "test-case" {
			return
		}
		c := Case{Suite: cmp.Or(e.attr["classname"], nearestNamed(path[:len(path)-1], "test-suite")), Name: e.attr["name"], DurationMs: seconds(cmp.Or(e.attr["duration"], e.attr["time"]))}
		switch e.attr["result"] {
		case "Passed", "Warning":
			c.Status = Succeeded
		case "Failed":
			c.Status = Failed
			if e.attr["label"] == "Error" {
				c.Status = Errored
			}
		case "Skipped":
			c.Status = Skipped
		default:
			c.Status = Unknown
		}
		cases = append(cases, c)
	}, messageOf(&cases, "test-case"))
	return cases, err
}

// messageOf takes a message element within a case as the message of that case.
func messageOf(cases *[]Case, of string) func(path []*element) {
	return func(path []*element) {
		e := path[len(path)-1]
		inside := slices.ContainsFunc(path, func(p *element) bool { return p.name == of })
		if e.name != "message" || !inside || len(*cases) == 0 {
			return
		}
		if c := &(*cases)[len(*cases)-1]; c.Message == "" {
			c.Message = shorten(e.text.String())
		}
	}
}

func testNG(r io.Reader) ([]Case, error) {
	var cases []Case
	err := walk(r, []string{"testng-results"}, func(path []*element) {
		e := path[len(path)-1]
		if e.name != "test-method" || e.attr["is-config"] == "true" {
			return
		}
		ms, _ := strconv.ParseFloat(e.attr["duration-ms"], 64)
		c := Case{Suite: nearestNamed(path, "class"), Name: e.attr["name"], DurationMs: max(0, ms), Status: Unknown}
		if s, ok := map[string]Status{"PASS": Succeeded, "FAIL": Failed, "SKIP": Skipped}[e.attr["status"]]; ok {
			c.Status = s
		}
		cases = append(cases, c)
	}, messageOf(&cases, "test-method"))
	return cases, err
}

func trx(r io.Reader) ([]Case, error) {
	var cases []Case
	err := walk(r, []string{"TestRun"}, func(path []*element) {
		e := path[len(path)-1]
		if e.name != "UnitTestResult" {
			return
		}
		c := Case{Name: e.attr["testName"], DurationMs: milliseconds(timeSpan(e.attr["duration"])), Status: Unknown}
		if i := strings.LastIndexByte(c.Name, '.'); i > 0 && !strings.ContainsAny(c.Name, "( ") {
			c.Suite, c.Name = c.Name[:i], c.Name[i+1:]
		}
		switch e.attr["outcome"] {
		case "Passed", "PassedButRunAborted", "Warning", "Completed":
			c.Status = Succeeded
		case "Failed":
			c.Status = Failed
		case "Error", "Aborted", "Timeout":
			c.Status = Errored
		case "NotExecuted", "NotRunnable", "Disconnected", "Pending":
			c.Status = Skipped
		}
		cases = append(cases, c)
	}, func(path []*element) {
		if e := path[len(path)-1]; e.name == "Message" && len(cases) > 0 {
			if c := &cases[len(cases)-1]; c.Message == "" {
				c.Message = shorten(e.text.String())
			}
		}
	})
	return cases, err
}

// timeSpan reads .NET's [d.]hh:mm:ss[.fffffff].
func timeSpan(s string) time.Duration {
	var days time.Duration
	if day, rest, ok := strings.Cut(s, "."); ok && strings.Contains(rest, ":") {
		n, _ := strconv.Atoi(day)
		days, s = time.Duration(n)*24*time.Hour, rest
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0
	}
	h, _ := strconv.Atoi(parts[0])
	m, _ := strconv.Atoi(parts[1])
	sec, _ := strconv.ParseFloat(parts[2], 64)
	return days + time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(sec*float64(time.Second))
}

func clover(r io.Reader) (Lines, error) {
	var lines Lines
	found := false
	err := walk(r, []string{"coverage"}, func(path []*element) {
		// The totals stand directly in <project>; those of packages and files are parts of it.
		if n := len(path); n >= 2 && path[n-1].name == "metrics" && path[n-2].name == "project" {
			a := path[n-1].attr
			found = true
			lines.LinesCovered, lines.LinesTotal = whole(a["coveredstatements"]), whole(a["statements"])
			lines.BranchesCovered, lines.BranchesTotal = whole(a["coveredconditionals"]), whole(a["conditionals"])
		}
	}, ignore)
	if err == nil && !found {
		err = errors.New("<project> has no <metrics>")
	}
	return lines, err
}

func cobertura(r io.Reader) (Lines, error) {
	var lines, counted Lines
	totals := false
	err := walk(r, []string{"coverage"}, func(path []*element) {
		e := path[len(path)-1]
		if len(path) == 1 {
			_, totals = e.attr["lines-valid"]
			lines.LinesCovered, lines.LinesTotal = whole(e.attr["lines-covered"]), whole(e.attr["lines-valid"])
			lines.BranchesCovered, lines.BranchesTotal = whole(e.attr["branches-covered"]), whole(e.attr["branches-valid"])
			return
		}
		// The lines of methods are listed a second time under their class.
		if e.name != "line" || len(path) < 3 || path[len(path)-3].name != "class" {
			return
		}
		counted.LinesTotal++
		if whole(e.attr["hits"]) > 0 {
			counted.LinesCovered++
		}
		if _, ratio, ok := strings.Cut(e.attr["condition-coverage"], "("); ok {
			part, of, _ := strings.Cut(strings.TrimSuffix(ratio, ")"), "/")
			counted.BranchesCovered += whole(part)
			counted.BranchesTotal += whole(of)
		}
	}, ignore)
	if !totals {
		lines = counted
	}
	return lines, err
}

func jacoco(r io.Reader) (Lines, error) {
	var lines Lines
	err := walk(r, []string{"report"}, func(path []*element) {
		if len(path) != 2 || path[1].name != "counter" {
			return
		}
		covered, missed := whole(path[1].attr["covered"]), whole(path[1].attr["missed"])
		switch path[1].attr["type"] {
		case "LINE":
			lines.LinesCovered, lines.LinesTotal = covered, covered+missed
		case "BRANCH":
			lines.BranchesCovered, lines.BranchesTotal = covered, covered+missed
		}
	}, ignore)
	return lines, err
}
