package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/control"
)

func newApplyCommand(a *app) *cobra.Command {
	var flagged []string
	cmd := &cobra.Command{
		Use:   "apply [-f] [FILE…]",
		Short: "Hand pipeline files over to the control plane",
		Long: `Apply hands pipeline files over. It takes what validate takes: files, folders with
a showrunner.yaml, "-" for standard input; without any, the showrunner.yaml in
this folder. Handing over the same file again changes nothing.`,
		Example: "  showrunner apply\n  showrunner apply -f showrunner.yaml\n  showrunner apply shop/ billing/showrunner.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.apply(cmd.Context(), pipelineFiles(append(flagged, args...)))
		},
	}
	cmd.Flags().StringArrayVarP(&flagged, "file", "f", nil, `a pipeline file, a folder, or "-" for standard input; may be repeated`)
	return cmd
}

// apply hands every file over that can be; the others are named.
func (a *app) apply(ctx context.Context, files []string) error {
	c := a.connect()
	var all []control.Applied
	refused := false
	for _, file := range files {
		out, err := a.applyFile(ctx, c, file)
		var findings *client.Refused
		if errors.As(err, &findings) {
			a.findings(findings.Diagnostics)
			refused = true
			continue
		}
		if err != nil {
			return err
		}
		a.findings(out.Diagnostics)
		all = append(all, out)
	}
	if err := a.printApplied(all, len(files)); err != nil {
		return err
	}
	if refused {
		return exitError{exitUsage}
	}
	return nil
}

func (a *app) applyFile(ctx context.Context, c *client.Client, file string) (control.Applied, error) {
	var out control.Applied
	src, err := a.readFile(ctx, file)
	if err != nil {
		return out, err
	}
	err = c.Do(ctx, http.MethodPost, "/apply", api.ApplyRequest{Name: file, Source: string(src), Base: folderOf(file)}, &out)
	return out, err
}

// printApplied prints one object for one file, a list for several.
func (a *app) printApplied(all []control.Applied, files int) error {
	var value any = all
	if files == 1 {
		if len(all) == 0 {
			return nil
		}
		value = all[0]
	}
	names := func() []string {
		var list []string
		for _, one := range all {
			list = append(list, one.Application)
		}
		return list
	}
	return a.print(value, names, func(w io.Writer) {
		for _, one := range all {
			appliedText(w, one)
		}
	})
}

func appliedText(w io.Writer, out control.Applied) {
	if out.Changed {
		changedText(w, out)
	} else {
		fmt.Fprintf(w, "%s unchanged (version %d)\n", out.Application, out.Version)
	}
	for _, r := range out.Replacing {
		fmt.Fprintln(w, clean(fmt.Sprintf("  ▲ the next run of %s/%s replaces this by the showrunner.yaml of commit %.7s: commit the file, or remove follow: true", out.Application, r.Pipeline, r.Commit)))
	}
}

func changedText(w io.Writer, out control.Applied) {
	fmt.Fprintf(w, "%s applied (version %d)\n", out.Application, out.Version)
	for _, part := range []struct {
		word  string
		names []string
	}{{"created", out.Created}, {"changed", out.Updated}, {"removed", out.Removed}} {
		for _, n := range part.names {
			fmt.Fprintf(w, "  %s pipeline %s/%s\n", part.word, out.Application, n)
		}
	}
	for _, m := range out.Moved {
		fmt.Fprintln(w, clean(fmt.Sprintf("  ▲ %s/%s, %s: it reads %s now; before, %s", out.Application, m.Pipeline, m.Source, m.To, m.From)))
	}
}
