package web

import (
	"net/url"
	"strconv"
	"strings"

	"showrunner/execution"
)

// manyStages is how many stages a page draws and shows at once; of more, it shows
// a part.
const manyStages = 200

// mostNamed is how many stages that failed or wait for a person are shown in full.
const mostNamed = 20

// stageList is the part of an execution's stages that a page shows.
type stageList struct {
	Asking, Failed []execution.StageState
	Stages         []execution.StageState
	Total          int    // with the status that is asked for
	From           int    // of the first one, from 1
	Status         string // asked for: a status, or the word that people read
	Earlier, Later string // where the other parts are
	Many           bool
}

func stagesShown(e execution.Execution, q url.Values) stageList {
	list := stageList{Status: q.Get("status"), Many: len(e.Stages) > manyStages}
	var all []execution.StageState
	for _, st := range e.Stages {
		if st.Activity.WaitsForPerson() && len(list.Asking) < mostNamed {
			list.Asking = append(list.Asking, st)
		}
		if failed(st) && len(list.Failed) < mostNamed {
			list.Failed = append(list.Failed, st)
		}
		if list.Status == "" || list.Status == string(st.Status) || strings.EqualFold(list.Status, st.Look().Word) {
			all = append(all, st)
		}
	}
	list.Total = len(all)
	from, _ := strconv.Atoi(q.Get("from")) // what is no number is the beginning
	from = max(0, min(from, len(all)-1))
	to := min(from+manyStages, len(all))
	if list.From = from + 1; len(all) > 0 {
		list.Stages = all[from:to]
	}
	at := func(n int) string {
		v := url.Values{"from": {strconv.Itoa(n)}}
		if list.Status != "" {
			v.Set("status", list.Status)
		}
		return "?" + v.Encode() + "#stages"
	}
	if from > 0 {
		list.Earlier = at(max(0, from-manyStages))
	}
	if to < len(all) {
		list.Later = at(to)
	}
	return list
}

// To is the number of the last stage shown.
func (l stageList) To() int { return l.From - 1 + len(l.Stages) }
