package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// configFile holds defaults for flags, by flag name.
type configFile struct {
	path   string
	values map[string]string
}

// readConfig reads the nearest .showrunner/config.yaml upward from the working
// folder, else the user's showrunner/config.yaml; no file is an empty one.
func readConfig(getenv func(string) string) (configFile, error) {
	for _, path := range configPaths(getenv) {
		src, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return configFile{}, usage("configuration: %v", err)
		}
		var raw map[string]any
		if err := yaml.Unmarshal(src, &raw); err != nil {
			return configFile{}, usage("configuration %s: %v", path, err)
		}
		values := make(map[string]string, len(raw))
		for k, v := range raw {
			values[k] = fmt.Sprint(v)
		}
		return configFile{path: path, values: values}, nil
	}
	return configFile{}, nil
}

func configPaths(getenv func(string) string) []string {
	var paths []string
	if dir, err := os.Getwd(); err == nil {
		for {
			paths = append(paths, filepath.Join(dir, ".showrunner", "config.yaml"))
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	if d := getenv("XDG_CONFIG_HOME"); d != "" {
		paths = append(paths, filepath.Join(d, "showrunner", "config.yaml"))
	} else if home := getenv("HOME"); home != "" {
		paths = append(paths, filepath.Join(home, ".config", "showrunner", "config.yaml"))
	}
	return paths
}

// configurable names the flags of cmd that the environment and the
// configuration file may set.
func configurable(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "help", "file", "param", "env":
		default:
			names = append(names, f.Name)
		}
	})
	return names
}
