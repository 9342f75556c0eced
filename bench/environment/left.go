package environment

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is one process of the machine that belongs to a environment.
type Process struct {
	PID     int
	Command string
}

func (p Process) String() string { return fmt.Sprintf("%d (%.120s)", p.PID, p.Command) }

// Processes finds every process that belongs to the data folder: its program, its
// working folder, its environment or its arguments name the folder. It reads the
// machine's process list, not the fleet's state.
func (w *World) Processes() []Process {
	var list []Process
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !Runs(pid) {
			continue
		}
		dir := "/proc/" + e.Name()
		exe, _ := os.Readlink(dir + "/exe") // a process that ends meanwhile has none of these
		cwd, _ := os.Readlink(dir + "/cwd")
		args, _ := os.ReadFile(dir + "/cmdline")
		env, _ := os.ReadFile(dir + "/environ")
		if strings.HasPrefix(exe, w.Data) || strings.HasPrefix(cwd, w.Data) || bytes.Contains(args, []byte(w.Data)) || bytes.Contains(env, []byte(w.Data)) {
			list = append(list, Process{PID: pid, Command: string(bytes.ReplaceAll(bytes.TrimRight(args, "\x00"), []byte{0}, []byte(" ")))})
		}
	}
	return list
}

// Runs says whether a process has not ended; an ended process that was not waited
// for counts as running.
func Runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))[0]
	return state != "Z" && state != "X"
}

// GroupFolders are the server groups that have a folder on the disk, region/name.
func (w *World) GroupFolders() ([]string, error) {
	found, err := filepath.Glob(filepath.Join(w.Data, "regions", "*", "*", "groups", "*"))
	if err != nil {
		return nil, err
	}
	var list []string
	for _, f := range found {
		rel, err := filepath.Rel(filepath.Join(w.Data, "regions"), f)
		if err != nil {
			return nil, err
		}
		parts := strings.Split(rel, string(filepath.Separator))
		list = append(list, parts[0]+"/"+parts[len(parts)-1])
	}
	return list, nil
}

// Left lists the leftovers of server groups and instances that no longer exist:
// their processes (and so their listeners) and folders. It waits a few seconds
// for processes that are ending.
func (w *World) Left(ctx context.Context, cluster string) []string {
	err := Until(ctx, 10*time.Second, "nothing is left behind", func() error {
		groups, instances := map[string]bool{}, map[string]bool{}
		for _, g := range w.Groups(ctx, cluster) {
			groups[g.Region+"/"+g.Name] = true
			for _, i := range g.Instances {
				instances[i.ID] = true
			}
		}
		for _, p := range w.Processes() {
			env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID)) // a process that has just ended has none
			for variable := range strings.SplitSeq(string(env), "\x00") {
				if id, ok := strings.CutPrefix(variable, "SHOWRUNNER_INSTANCE="); ok && !instances[id] {
					return fmt.Errorf("process %s of %s", p, id)
				}
			}
		}
		folders, err := w.GroupFolders()
		if err != nil {
			return err
		}
		if len(folders) < len(groups) {
			return fmt.Errorf("only the folders %v were found", folders)
		}
		for _, f := range folders {
			if !groups[f] {
				return fmt.Errorf("the folder of %s", f)
			}
		}
		return nil
	})
	if err != nil {
		return []string{err.Error()}
	}
	return nil
}

// Root is the path of a file in a server group's unpacked artifact.
func (w *World) Root(region, serverGroup, name string) string {
	return filepath.Join(w.Data, "regions", region, "fleet", "groups", serverGroup, "root", name)
}
