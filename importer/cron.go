package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fiveFields turns a schedule of AWS (minute hour day month weekday year) or of
// Quartz (second first, year optional) into the usual five fields. Weekdays count
// from 1 (Sunday) in both, and from 0 in the five fields.
func fiveFields(expression string, quartz bool) (string, error) {
	f := strings.Fields(expression)
	if quartz {
		if len(f) != 6 && len(f) != 7 {
			return "", fmt.Errorf("%d fields instead of 6 or 7", len(f))
		}
		if f[0] != "0" {
			return "", fmt.Errorf("seconds (%s) cannot be expressed", f[0])
		}
		f = f[1:]
		if len(f) == 5 {
			f = append(f, "*")
		}
	}
	if len(f) != 6 {
		return "", fmt.Errorf("%d fields instead of 6", len(f))
	}
	if f[5] != "*" && f[5] != "?" {
		return "", fmt.Errorf("a year (%s) cannot be expressed", f[5])
	}
	day, weekday := f[2], f[4]
	if strings.ContainsAny(day+weekday, "LW#") && !weekdayNames(weekday) {
		return "", fmt.Errorf("the marks L, W and # cannot be given")
	}
	if strings.ContainsAny(day, "LW#") {
		return "", fmt.Errorf("the marks L, W and # cannot be given")
	}
	shifted, err := shiftWeekdays(weekday)
	if err != nil {
		return "", err
	}
	star := strings.NewReplacer("?", "*")
	fields := []string{f[0], f[1], star.Replace(day), f[3], star.Replace(shifted)}
	for i, bounds := range [][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}} {
		if fields[i], err = unwrap(fields[i], bounds[0], bounds[1]); err != nil {
			return "", err
		}
	}
	return strings.Join(fields, " "), nil
}

// dayNames and monthNames are numbered as in the five fields.
var (
	dayNames   = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	monthNames = []string{"", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
)

// unwrap splits a range that wraps around (FRI-MON, 22-2) into two ranges.
func unwrap(field string, least, most int) (string, error) {
	number := func(s string) int {
		names := dayNames
		if most == 12 {
			names = monthNames
		}
		if n, err := strconv.Atoi(s); err == nil {
			return n
		}
		return slices.Index(names, strings.ToUpper(s))
	}
	var out []string
	for _, part := range strings.Split(field, ",") {
		span, _, stepped := strings.Cut(part, "/")
		from, to, ranged := strings.Cut(span, "-")
		a, b := number(from), number(to)
		switch {
		case !ranged || a < least || b < least || a <= b:
			out = append(out, part)
		case stepped:
			return "", fmt.Errorf("a range with steps that wraps around (%s) cannot be expressed", part)
		default:
			out = append(out, fmt.Sprintf("%d-%d", a, most), fmt.Sprintf("%d-%d", least, b))
		}
	}
	return strings.Join(out, ","), nil
}

// weekdayNames says whether the field spells its days ("MON-FRI"); in names, W
// and L are ordinary letters.
func weekdayNames(field string) bool {
	for _, part := range strings.FieldsFunc(strings.ToUpper(field), func(r rune) bool { return r == ',' || r == '-' }) {
		switch part {
		case "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT":
		default:
			return false
		}
	}
	return true
}

// shiftWeekdays lowers each weekday number by one, but not the steps after "/".
func shiftWeekdays(field string) (string, error) {
	var out []string
	for _, part := range strings.Split(field, ",") {
		base, step, hasStep := strings.Cut(part, "/")
		ends := strings.Split(base, "-")
		for i, e := range ends {
			n, err := strconv.Atoi(e)
			if err != nil {
				continue // a name, * or ?
			}
			if n < 1 || n > 7 {
				return "", fmt.Errorf("weekday %d is not 1 to 7", n)
			}
			ends[i] = strconv.Itoa(n - 1)
		}
		base = strings.Join(ends, "-")
		if hasStep {
			base += "/" + step
		}
		out = append(out, base)
	}
	return strings.Join(out, ","), nil
}

// rate turns EventBridge's rate(5 minutes) into five fields where they can
// express it.
func rate(expression string) (string, error) {
	f := strings.Fields(expression)
	if len(f) != 2 {
		return "", fmt.Errorf("not a rate")
	}
	n, err := strconv.Atoi(f[0])
	if err != nil || n < 1 {
		return "", fmt.Errorf("not a rate")
	}
	switch unit := strings.TrimSuffix(f[1], "s"); {
	case unit == "minute" && n == 1:
		return "* * * * *", nil
	case unit == "minute" && n < 60 && 60%n == 0:
		return fmt.Sprintf("*/%d * * * *", n), nil
	case unit == "minute" && n == 60, unit == "hour" && n == 1:
		return "0 * * * *", nil
	case unit == "hour" && n < 24 && 24%n == 0:
		return fmt.Sprintf("0 */%d * * *", n), nil
	case unit == "hour" && n == 24, unit == "day" && n == 1:
		return "0 0 * * *", nil
	case unit == "day" && n == 7:
		return "0 0 * * 0", nil
	}
	return "", fmt.Errorf("five fields cannot say every %s", expression)
}
