package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/examples"
	"showrunner/server"
)

func newAWSCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "aws -- ARGUMENTS…",
		Short: "Run the aws command against this machine, or print the variables for it",
		Long: `Aws runs the aws command with the endpoint and the key of the running
"showrunner up", whatever the profile says. What it asks for really happens: on
the local regions, in the pipelines, in the secrets.

For every other client of AWS (the CDK, Terraform, an SDK) set the variables:
eval "$(showrunner aws env)". The key is random and means nothing at AWS.`,
		Example: "  showrunner aws -- sts get-caller-identity\n  eval \"$(showrunner aws env)\" && cdk deploy",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("say what to run: showrunner aws -- s3 ls")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := a.awsVariables()
			if err != nil {
				return err
			}
			program, err := exec.LookPath("aws")
			if err != nil {
				return usage("the aws command is not installed; for other clients: eval \"$(showrunner aws env)\"")
			}
			run := exec.CommandContext(cmd.Context(), program, args...)
			run.Env = v.apply(os.Environ())
			run.Stdin, run.Stdout, run.Stderr = a.In, a.Out, a.Err
			err = run.Run()
			var ended *exec.ExitError
			if errors.As(err, &ended) {
				return exitError{ended.ExitCode()}
			}
			return err
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "env",
		Short:   "Print the variables that lead AWS's clients to this machine",
		Example: "  eval \"$(showrunner aws env)\"",
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v, err := a.awsVariables()
			if err != nil {
				return err
			}
			for _, name := range v.unset {
				fmt.Fprintf(a.Out, "unset %s\n", name)
			}
			for _, pair := range v.set {
				fmt.Fprintf(a.Out, "export %s='%s'\n", pair[0], pair[1])
			}
			return nil
		},
	})
	cmd.AddCommand(newAWSRepositoryCommand(a))
	cmd.AddCommand(newAWSImageCommand(a))
	return cmd
}

// newSampleServiceCommand is the program of the image that AWS's clients find here
// from the start.
func newSampleServiceCommand(*app) *cobra.Command {
	return &cobra.Command{
		Use: "sample-service", Short: "Answer HTTP with the instance that this is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return examples.Serve(cmd.Context(), os.Getenv) },
	}
}

// awsVariables are what leads a client of AWS to this machine, and what would lead it elsewhere.
type awsVariables struct {
	set   [][2]string
	unset []string
}

func (a *app) awsVariables() (awsVariables, error) {
	address, err := server.AWSAddress(a.data)
	if err != nil {
		return awsVariables{}, err
	}
	file, err := filepath.Abs(localcloud.CredentialsFile(a.data))
	if err != nil {
		return awsVariables{}, err
	}
	key, err := objectstore.LoadCredentials(file)
	if err != nil {
		return awsVariables{}, err
	}
	region := awsRegion(a.data)
	return awsVariables{
		set: [][2]string{
			{"AWS_ENDPOINT_URL", "http://" + address},
			{"AWS_ACCESS_KEY_ID", key.AccessKey},
			{"AWS_SECRET_ACCESS_KEY", key.SecretKey},
			{"AWS_REGION", region},
			{"AWS_DEFAULT_REGION", region},
			{"AWS_EC2_METADATA_DISABLED", "true"},
			{"AWS_PAGER", ""},
		},
		unset: []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"},
	}, nil
}

// awsRegion is the region that clients use unless they name one: us-east-1, as AWS's
// own examples do, or the first of the data folder's regions when that is not one.
func awsRegion(data string) string {
	const usual = "us-east-1"
	entries, _ := os.ReadDir(filepath.Join(data, "regions")) // without any, the usual one is as good as another
	first := ""
	for _, e := range entries {
		switch {
		case e.Name() == usual:
			return usual
		case first == "" && e.IsDir():
			first = e.Name()
		}
	}
	return cmp.Or(first, usual)
}

// apply is an environment with the variables set and unset.
func (v awsVariables) apply(environment []string) []string {
	gone := map[string]bool{}
	for _, name := range v.unset {
		gone[name] = true
	}
	for _, pair := range v.set {
		gone[pair[0]] = true
	}
	var out []string
	for _, e := range environment {
		if name, _, _ := strings.Cut(e, "="); !gone[name] {
			out = append(out, e)
		}
	}
	for _, pair := range v.set {
		out = append(out, pair[0]+"="+pair[1])
	}
	return out
}
