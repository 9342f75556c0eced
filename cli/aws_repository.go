package cli

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func newAWSRepositoryCommand(a *app) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "repository [OWNER/NAME[=PATH-OR-URL]]",
		Short: "Say which Git repository stands for one that clients of AWS name",
		Long: `A pipeline or a build project that a client of AWS makes names its source as
OWNER/NAME on GitHub. This setting says which repository is fetched instead: a folder
of this machine, or any address that git reads. Without arguments it lists them.`,
		Example: "  showrunner aws repository netflix/demo=./demo\n  showrunner aws repository --delete netflix/demo",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listAWSRepositories(cmd)
			}
			name, address, given := strings.Cut(args[0], "=")
			path := "/aws/repositories" + query("name", name)
			if remove {
				if err := a.connect().Do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
					return err
				}
				a.say("nothing stands for %s any more", name)
				return nil
			}
			if !given {
				return usage("say what stands for %s: showrunner aws repository %s=PATH-OR-URL", name, name)
			}
			if !strings.Contains(address, ":") && address != "" {
				absolute, err := filepath.Abs(address)
				if err != nil {
					return usage("%s: %v", address, err)
				}
				address = absolute
			}
			var out control.AWSRepository
			if err := a.connect().Do(cmd.Context(), http.MethodPut, path, map[string]string{"url": address}, &out); err != nil {
				return err
			}
			a.say("%s stands for %s", out.URL, out.Name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "forget what stands for the name")
	return cmd
}

func (a *app) listAWSRepositories(cmd *cobra.Command) error {
	var out []control.AWSRepository
	if err := a.connect().Do(cmd.Context(), http.MethodGet, "/aws/repositories", nil, &out); err != nil {
		return err
	}
	names := func() []string {
		var list []string
		for _, r := range out {
			list = append(list, r.Name)
		}
		return list
	}
	return a.print(out, names, func(w io.Writer) {
		if len(out) == 0 {
			fmt.Fprintln(w, "No repository stands for another. Set one: showrunner aws repository OWNER/NAME=PATH-OR-URL")
			return
		}
		row(w, "NAME", "REPOSITORY", "BY")
		for _, r := range out {
			row(w, r.Name, r.URL, r.By)
		}
	})
}
