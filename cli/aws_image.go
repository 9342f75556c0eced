package cli

import (
	"cmp"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/control"
)

func newAWSImageCommand(a *app) *cobra.Command {
	var remove bool
	var health string
	cmd := &cobra.Command{
		Use:   "image [NAME[=ARTIFACT] [-- COMMAND ARGUMENTS…]]",
		Short: "Say which artifact runs where clients of AWS name a container image",
		Long: `A task definition of ECS names a container image. This setting says which artifact
is run instead, as a process, and by which command. ARTIFACT is sha256:… as a build
names its result, or sample for the built-in program, which answers HTTP with the
instance that it runs as. A name without a tag stands for every tag. Without
arguments it lists them.`,
		Example: "  showrunner aws image shop=sha256:… --health /healthz -- ./shop --quiet\n  showrunner aws image redis=sample\n  showrunner aws image --delete shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listAWSImages(cmd)
			}
			name, ref, given := strings.Cut(args[0], "=")
			path := "/aws/images" + query("name", name)
			if remove {
				if err := a.connect().Do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
					return err
				}
				a.say("what stood for %s is forgotten", name)
				return nil
			}
			if !given {
				return usage("say what stands for %s: showrunner aws image %s=ARTIFACT -- COMMAND", name, name)
			}
			var out control.AWSImage
			in := map[string]any{"artifact": ref, "command": args[1:], "health": health}
			if err := a.connect().Do(cmd.Context(), http.MethodPut, path, in, &out); err != nil {
				return err
			}
			a.say("%s stands for %s", out.Artifact, out.Name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "forget what stands for the name")
	cmd.Flags().StringVar(&health, "health", "", "path of the health check; without one the port is connected to")
	return cmd
}

func (a *app) listAWSImages(cmd *cobra.Command) error {
	var out []control.AWSImage
	if err := a.connect().Do(cmd.Context(), http.MethodGet, "/aws/images", nil, &out); err != nil {
		return err
	}
	names := func() []string {
		var list []string
		for _, i := range out {
			list = append(list, i.Name)
		}
		return list
	}
	return a.print(out, names, func(w io.Writer) {
		row(w, "IMAGE", "ARTIFACT", "COMMAND", "BY")
		for _, i := range out {
			row(w, i.Name, i.Artifact, strings.Join(i.Command, " "), cmp.Or(i.By, "built in"))
		}
	})
}
