// Package holiday owns days on which nobody works: calendars of public holidays by
// country, and days that a file names. It is pure. The dates of public holidays
// are those of github.com/rickar/cal.
package holiday

import (
	"strings"
	"sync"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/ar"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/bg"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/ecb"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/mw"
	"github.com/rickar/cal/v2/nc"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/ru"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/ua"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"

	"showrunner/problem"
)

// countries are the public holidays of whole countries.
var countries = map[string][]*cal.Holiday{
	"ar": ar.Holidays, "at": at.Holidays, "be": be.Holidays, "bg": bg.Holidays, "br": br.Holidays,
	"ca": ca.Holidays, "ch": ch.Holidays, "cz": cz.Holidays, "de": de.Holidays, "dk": dk.Holidays,
	"ecb": ecb.Holidays, "es": es.Holidays, "fr": fr.Holidays, "gb": gb.Holidays, "gr": gr.Holidays,
	"hr": hr.Holidays, "ie": ie.Holidays, "it": it.Holidays, "jp": jp.Holidays, "lt": lt.Holidays,
	"lv": lv.Holidays, "mw": mw.Holidays, "nc": nc.Holidays, "nl": nl.Holidays, "no": no.Holidays,
	"nz": nz.Holidays, "pl": pl.Holidays, "ro": ro.Holidays, "ru": ru.Holidays, "se": se.Holidays,
	"si": si.Holidays, "sk": sk.Holidays, "ua": ua.Holidays, "us": us.Holidays, "za": za.Holidays,
}

// Calendar answers which days are holidays. A Calendar is safe for concurrent use.
type Calendar struct {
	rules []rule
	years *sync.Map // year → its public holidays by day
}

// rule is one entry of the pipeline file's list of holidays.
type rule struct {
	name        string
	national    []*cal.Holiday
	first, last string // of a span of days
	yearly      string // month and day
}

// Parse reads the entries of the pipeline file's `holidays`. Errors: invalid.
func Parse(entries []string) (Calendar, error) {
	c := Calendar{years: &sync.Map{}}
	for _, e := range entries {
		r := rule{name: e, national: countries[e]}
		if r.national == nil {
			first, last, span := strings.Cut(e, "..")
			if !span {
				last = first
			}
			_, wrongFirst := time.Parse(time.DateOnly, first)
			_, wrongLast := time.Parse(time.DateOnly, last)
			_, wrongYearly := time.Parse(time.DateOnly, "2000-"+e)
			switch {
			case wrongFirst == nil && wrongLast == nil && first <= last:
				r.first, r.last = first, last
			case wrongYearly == nil && len(e) == len("12-24"):
				r.yearly = e
			default:
				return Calendar{}, problem.New(problem.Invalid, "chaos.holiday", "%q is no holiday", e).
					WithHelp("write a country's calendar such as us, a day such as 2026-12-24, a span such as 2026-12-24..2027-01-01, or a day of every year such as 12-24")
			}
		}
		c.rules = append(c.rules, r)
	}
	return c, nil
}

// On returns the name of the holiday of a day, or "". A public holiday that is
// taken on another day because it falls on a weekend counts on both.
func (c Calendar) On(year int, month time.Month, day int) string {
	if len(c.rules) == 0 {
		return ""
	}
	at := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	text := at.Format(time.DateOnly)
	for _, r := range c.rules {
		switch {
		case r.yearly != "" && text[5:] == r.yearly, r.first != "" && r.first <= text && text <= r.last:
			return r.name
		}
	}
	return c.national(year)[text]
}

// national are the public holidays of a year by day. They are kept: a schedule
// asks for the same few years again and again.
func (c Calendar) national(year int) map[string]string {
	if known, ok := c.years.Load(year); ok {
		return known.(map[string]string)
	}
	days := map[string]string{}
	for _, r := range c.rules {
		for _, h := range r.national {
			// A holiday near the turn of a year may be taken in the other year.
			for y := year - 1; y <= year+1; y++ {
				actual, observed := h.Calc(y)
				for _, d := range []time.Time{actual, observed} {
					if d.Year() == year {
						days[d.Format(time.DateOnly)] = h.Name
					}
				}
			}
		}
	}
	c.years.Store(year, days)
	return days
}
