package monkey

import "time"

// Kill is one instance that was ended, or that a dry run would have ended.
type Kill struct {
	Cluster
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
	DryRun   bool      `json:"dryRun,omitempty"`
}

// Threshold is the moment since which no instance of a group may have ended for
// another to end now: the last minute of the hours, Min working days ago. Days are
// counted in the calendar of the zone; days that are no working days are passed
// over. With a Min of 0 it is the end of today's hours (of the last working day's,
// on a day off), so that a second kill on one day is allowed.
func (s Settings) Threshold(now time.Time) time.Time {
	day, left := DateOf(now, s.Zone), s.Min
	for range (s.Min + 100) * 366 { // far more than any calendar has days off in a row
		switch {
		case s.DayOff(day) != "":
		case left == 0:
			return day.At(s.To, s.Zone)
		default:
			left--
		}
		day = day.Add(-1)
	}
	return day.At(s.To, s.Zone)
}

// TooSoon returns an earlier kill that forbids another one of the victim's group
// now. It compares the application, the account, the stack or the cluster of the
// victim by the grouping, and the region where regions are independent. A dry run
// forbids a dry run alone; a real kill forbids both.
func (s Settings) TooSoon(now time.Time, victim Cluster, earlier []Kill) (Kill, bool) {
	threshold := s.Threshold(now)
	for _, k := range earlier {
		switch {
		case k.DryRun && !s.DryRun, k.At.Before(threshold):
		case k.Application != victim.Application || k.Account != victim.Account:
		case s.Grouping == Stack && k.Stack != victim.Stack, s.Grouping == ByCluster && k.Name != victim.Name:
		case s.RegionsAreIndependent && k.Region != victim.Region:
		default:
			return k, true
		}
	}
	return Kill{}, false
}
