// Package command lets one program hold several benchmarks, and finds or builds
// the program that they measure.
package command

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Part is one benchmark of a command.
type Part struct {
	Name    string
	Summary string // one line
	// Main parses args with its own flag set, runs, and exits with a code other
	// than 0 when a promise or a budget is not kept.
	Main func(args []string)
}

// Run runs the part that the first argument names, with the other arguments.
// Without a known name it lists the parts and exits with 2.
func Run(name string, parts ...Part) {
	if len(os.Args) > 1 {
		for _, p := range parts {
			if p.Name == os.Args[1] {
				p.Main(os.Args[2:])
				return
			}
		}
	}
	var list strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&list, "  %-12s %s\n", p.Name, p.Summary)
	}
	fmt.Fprintf(os.Stderr, "usage: go run ./%s BENCHMARK [-h] [flags]\n%s", name, list.String())
	os.Exit(2)
}

// ProgramFlag adds the flag that selects the measured program.
func ProgramFlag(flags *flag.FlagSet) *string {
	return flags.String("showrunner", "", "the program to measure; empty: built from this tree")
}

// Program is the absolute path of the program at path. When path is empty, it
// builds the program into dir.
func Program(ctx context.Context, path, dir string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	path, err := filepath.Abs(filepath.Join(dir, "showrunner"))
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "showrunner/cmd/showrunner").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, out)
	}
	return path, nil
}
