package rollout

// Record writes the result of a change into a state, as the loop does.
func Record(st *State, c Change, name string, err error) {
	(&Loop{Log: func(string, ...any) {}}).record(st, c, name, err)
}
