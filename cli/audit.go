package cli

import (
	"io"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/control"
	"showrunner/store/record"
)

func newAuditCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "audit", Short: "Show who did what to what, and how it ended", Args: exactArgs(),
		Long: `Audit lists every operation that changed something, or tried to, in order: of people,
of triggers and of stages. An operation is written down before it is carried out, and
its outcome after. One without an outcome is under way, or was cut off: look at its
subject before you repeat it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.connect()
			var events []record.Event
			for position := int64(0); ; {
				var page api.EventPage
				if err := c.Do(cmd.Context(), http.MethodGet, "/events"+query("from", strconv.FormatInt(position, 10), "limit", "1000", "type", "audit."), nil, &page); err != nil {
					return err
				}
				events = append(events, page.Events...)
				if page.Next <= position {
					break
				}
				position = page.Next
			}
			all := control.AuditEntries(events)
			names := func() []string { return nil }
			return a.print(all, names, func(w io.Writer) { auditText(w, all) })
		},
	}
}

func auditText(w io.Writer, all []control.AuditEntry) {
	row(w, "AT", "BY", "OPERATION", "SUBJECT", "APPLICATION", "OUTCOME", "ERROR")
	for _, e := range all {
		by := e.By
		if e.Via != "" {
			by += " (" + string(e.Via) + ")"
		}
		row(w, stamp(e.At), by, e.Operation, e.Subject, e.Subject.Application, auditOutcome(e), e.Error)
	}
}

// auditOutcome says how an operation ended, with a shape.
func auditOutcome(e control.AuditEntry) string {
	switch {
	case e.Outcome == control.NoOutcome:
		return "▲ no outcome"
	case e.Error != "":
		return "✕ " + e.Outcome
	}
	return "✓ " + e.Outcome
}
