package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/control"
	"showrunner/problem"
	"showrunner/server"
)

// check is one finding of doctor.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warning, missing, failed
	Detail string `json:"detail"`
	Help   string `json:"help,omitempty"`
}

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine and the control plane",
		Long:  "Doctor checks what Showrunner needs on this machine and whether its processes answer. Exit code 1 when something failed, 10 when nothing failed and something that was deployed, or a region, is not there.",
		Args:  exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := append(a.machine(cmd.Context()), a.processesState(cmd.Context())...)
			slices.SortStableFunc(checks, func(x, y check) int { // what is not there comes first
				return cmp.Compare(map[string]int{"missing": -1}[x.State], map[string]int{"missing": -1}[y.State])
			})
			names := func() []string {
				var list []string
				for _, c := range checks {
					if c.State != "ok" {
						list = append(list, c.Name)
					}
				}
				return list
			}
			if err := a.print(checks, names, func(w io.Writer) { doctorText(w, checks) }); err != nil {
				return err
			}
			state := func(s string) bool { return slices.ContainsFunc(checks, func(c check) bool { return c.State == s }) }
			switch {
			case state("failed"):
				return exitError{exitFailed}
			case state("missing"):
				return exitError{exitDifferent}
			}
			return nil
		},
	}
}

func doctorText(w io.Writer, checks []check) {
	shapes := map[string]string{"ok": "✓ ok", "warning": "▲ warning", "missing": "✕ not there", "failed": "✕ failed"}
	for _, c := range checks {
		row(w, shapes[c.State], c.Name, c.Detail)
		if c.Help != "" {
			row(w, "", "", "help: "+c.Help)
		}
	}
}

// machine checks what does not need a control plane.
func (a *app) machine(ctx context.Context) []check {
	var list []check
	for _, tool := range []struct{ name, args, need string }{
		{"git", "--version", "source stages"},
		{"sh", "", "builds"},
		{"bash", "--version", "builds that ask for bash"},
	} {
		list = append(list, toolCheck(ctx, tool.name, tool.args, tool.need))
	}
	if _, err := exec.LookPath("docker"); err != nil {
		if _, err := exec.LookPath("podman"); err != nil {
			list = append(list, check{"container engine", "warning", "neither docker nor podman is there", "only builds that ask for an image need one"})
		}
	}
	list = append(append(list, folderCheck(a.data)), diskUse(ctx, a.data)...)
	if runtime.GOOS != "linux" {
		list = append(list, check{"instances", "warning", runtime.GOOS + ": instances get a port each instead of an address, and no limits", ""})
	}
	return list
}

func toolCheck(ctx context.Context, name, args, need string) check {
	path, err := exec.LookPath(name)
	if err != nil {
		return check{name, "failed", "not found", need + " need it"}
	}
	if args == "" {
		return check{name, "ok", path, ""}
	}
	out, err := exec.CommandContext(ctx, path, args).Output()
	if err != nil {
		return check{name, "failed", problem.Text(err), need + " need it"}
	}
	return check{name, "ok", firstLine(string(out)), ""}
}

// folderCheck tries whether the data folder can be written, and is nobody else's to read.
func folderCheck(data string) check {
	c := check{Name: "data folder", State: "ok", Detail: data}
	info, err := os.Stat(data)
	if os.IsNotExist(err) {
		c.Detail += " (not there yet)"
		return c
	}
	if err != nil {
		return check{c.Name, "failed", problem.Text(err), "name another with --data"}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return check{c.Name, "warning", fmt.Sprintf("%s can be read by others (%s)", data, info.Mode().Perm()), "chmod 700 " + data}
	}
	f, err := os.CreateTemp(data, "doctor-*")
	if err != nil {
		return check{c.Name, "failed", problem.Text(err), "name another with --data"}
	}
	f.Close()
	os.Remove(f.Name())
	return c
}

// answers says whether anything listens at an address of this machine.
func answers(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// processesState asks the supervisor and the control plane.
func (a *app) processesState(ctx context.Context) []check {
	var list []check
	if _, err := os.Stat(filepath.Join(a.data, "up.lock")); err == nil {
		if s, err := server.NewSupervisor(a.data); err == nil {
			if processes, err := s.Processes(ctx); err == nil {
				for _, p := range processes {
					state := "ok"
					if p.State != server.Ready {
						state = "warning"
					}
					list = append(list, check{"process " + p.Process, state, strings.TrimSpace(fmt.Sprintf("%s, pid %d, started %d times %s", p.State, p.PID, p.Starts, p.Reason)), ""})
				}
			}
		}
	}
	var regions []control.RegionStatus
	c := a.connect()
	if err := c.Do(ctx, http.MethodGet, "/regions", nil, &regions); err != nil {
		return append(list, check{"control plane", "failed", problem.Text(err), "start it: showrunner up"})
	}
	list = append(list, check{"control plane", "ok", c.Base(), ""})
	for _, r := range regions {
		if r.Healthy {
			list = append(list, check{"region " + r.Name, "ok", "load balancer " + r.Address, ""})
		}
	}
	if address, err := server.AWSAddress(a.data); err == nil && answers(ctx, address) {
		list = append(list, check{"endpoint for AWS", "ok", "http://" + address + "; IAM's roles and policies are kept and returned, not enforced", fmt.Sprintf("use it: eval \"$(showrunner%s aws env)\", or showrunner%s aws -- s3 ls", a.dataFlag(), a.dataFlag())})
	}
	var missing []control.Missing
	if err := c.Do(ctx, http.MethodGet, "/missing", nil, &missing); err != nil {
		return append(list, check{"what was deployed", "failed", problem.Text(err), ""})
	}
	for _, m := range missing {
		name := m.Subject.String()
		if m.Subject.Kind != control.KindRegion {
			name += " in " + m.Region
		}
		list = append(list, check{name, "missing", strings.TrimPrefix(m.Deployed+": "+m.Why, ": "), m.Help})
	}
	var triggers []control.TriggerStatus
	if err := c.Do(ctx, http.MethodGet, "/triggers", nil, &triggers); err != nil {
		return append(list, check{"triggers", "warning", problem.Text(err), ""})
	}
	for _, t := range triggers {
		if t.Fails() {
			list = append(list, check{"trigger of " + t.Application + "/" + t.Pipeline, "warning", t.Kind + " " + t.Trigger + ": " + t.Why(), "showrunner triggers --failing"})
		}
	}
	return list
}
