package server

import (
	"fmt"
	"io"
	"time"
)

// PrintEvents writes one line for each change that a person wants to see.
func PrintEvents(w io.Writer) func(Event) {
	return func(e Event) {
		switch e.State {
		case Ready:
			at := e.Listens["http"]
			if at != "" {
				at = "  http://" + at
			}
			fmt.Fprintf(w, "%-20s ready in %s%s\n", e.Process, e.Took.Round(time.Millisecond), at)
		case Waiting:
			fmt.Fprintf(w, "%-20s %s; starting again in %s\n", e.Process, e.Reason, e.NextWait)
		case Stopped:
			if e.Reason != "" {
				fmt.Fprintf(w, "%-20s down on purpose: %s\n", e.Process, e.Reason)
			} else {
				fmt.Fprintf(w, "%-20s stopped\n", e.Process)
			}
		}
	}
}
