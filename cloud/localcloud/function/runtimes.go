package function

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

//go:embed runtime
var programs embed.FS

// The runtimes that functions may name: the supported ones of AWS that a machine can
// have as well.
var (
	provided = []string{"provided.al2", "provided.al2023"}
	nodes    = []string{"nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x"}
	pythons  = []string{"python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"}
)

// runtimes are the runtimes of this machine.
type runtimes struct {
	dir string // of the programs that load a function

	mu    sync.Mutex
	found map[string]interpreter // by the name that was looked for
}

// interpreter is a program that runs code, or why there is none.
type interpreter struct {
	path, version string
	missing       error
	looked        time.Time
}

// missingFor is how long a program that is missing is not looked for again.
const missingFor = 10 * time.Second

// runtime is what runs the functions of one runtime.
type runtime struct {
	name string
	interpreter
	loader string
}

// newRuntimes writes the programs that load functions into a folder.
func newRuntimes(dir string) (*runtimes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "function.open", "making %s", dir)
	}
	entries, err := programs.ReadDir("runtime")
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "function.open", "the runtimes' programs")
	}
	for _, entry := range entries {
		text, err := programs.ReadFile("runtime/" + entry.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, entry.Name()), text, 0o600)
		}
		if err != nil {
			return nil, problem.Wrap(err, problem.Unavailable, "function.open", "writing %s", entry.Name())
		}
	}
	return &runtimes{dir: dir, found: map[string]interpreter{}}, nil
}

// list is the runtime of a name, or every one, with what it needs on this machine.
func (r *runtimes) list(wanted string) (list []driver.Runtime) {
	list = []driver.Runtime{}
	for _, names := range [][]string{provided, nodes, pythons} {
		for _, name := range names {
			if wanted != "" && name != wanted {
				continue
			}
			one := driver.Runtime{Name: name}
			if rt, err := r.find(name); err != nil {
				one.Missing = err.Error()
				if help := problem.HelpOf(err); help != "" {
					one.Missing += ": " + help
				}
			} else {
				one.Program = rt.version()
			}
			list = append(list, one)
		}
	}
	return list
}

// find is a runtime by its name. Errors: precondition.
func (r *runtimes) find(name string) (runtime, error) {
	switch {
	case contains(provided, name):
		return runtime{name: name}, nil
	case contains(nodes, name):
		i, err := r.interpreter("node", "--version")
		if err != nil {
			return runtime{}, problem.Wrap(err, problem.Precondition, "function.runtime", "the runtime %s needs node, and it is not on this machine", name).
				WithHelp("install Node.js, so that `node` is in the PATH of the region")
		}
		return runtime{name, i, filepath.Join(r.dir, "node.cjs")}, nil
	case contains(pythons, name):
		for _, program := range []string{name, "python3"} {
			i, err := r.interpreter(program, "-c", "import sys; print(sys.executable); print('Python %d.%d.%d' % sys.version_info[:3])")
			if err == nil {
				return runtime{name, i, filepath.Join(r.dir, "python.py")}, nil
			}
		}
		return runtime{}, problem.New(problem.Precondition, "function.runtime", "the runtime %s needs python3, and it is not on this machine", name).
			WithHelp("install Python 3, so that `python3` is in the PATH of the region")
	}
	return runtime{}, problem.New(problem.Precondition, "function.runtime", "functions of the runtime %s cannot run here", name).
		WithHelp("the runtimes are %s", strings.Join(append(append(append([]string{}, provided...), nodes...), pythons...), ", "))
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// interpreter asks a program of this machine what it is; what was found is remembered.
func (r *runtimes) interpreter(name string, args ...string) (interpreter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.found[name]; ok && (i.missing == nil || time.Since(i.looked) < missingFor) {
		return i, i.missing
	}
	i := lookFor(name, args)
	r.found[name] = i
	return i, i.missing
}

// lookFor runs a program to see what it is.
func lookFor(name string, args []string) interpreter {
	i := interpreter{looked: time.Now()}
	if i.path, i.missing = exec.LookPath(name); i.missing != nil {
		return i
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, i.path, args...).Output()
	if err != nil {
		i.missing = fmt.Errorf("%s does not run: %w", i.path, err)
		return i
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	i.version = lines[len(lines)-1]
	if len(lines) > 1 { // the program itself, where path is a script that starts it
		i.path = lines[0]
	}
	return i
}

// version names what runs the function.
func (r runtime) version() string {
	switch {
	case r.loader == "":
		return r.name
	case strings.HasPrefix(r.name, "nodejs"):
		return r.name + " (Node.js " + r.interpreter.version + ")"
	}
	return r.name + " (" + r.interpreter.version + ")"
}

// modules are the folders in which Node.js finds what was installed for the whole machine.
func (r runtime) modules() []string {
	if !strings.HasPrefix(r.name, "nodejs") {
		return nil
	}
	var list []string
	for _, prefix := range []string{filepath.Dir(filepath.Dir(r.path)), "/usr/local"} {
		dir := filepath.Join(prefix, "lib", "node_modules")
		if info, err := os.Stat(dir); err == nil && info.IsDir() && !contains(list, dir) {
			list = append(list, dir)
		}
	}
	return list
}

// command is what starts an environment of a function whose code and layers are in folders.
func (r runtime) command(root string, layers []string, f driver.Function) ([]string, error) {
	switch {
	case strings.HasPrefix(r.name, "nodejs"):
		heap := max(f.Memory*9/10, 64)
		return []string{r.path, "--max-old-space-size=" + strconv.Itoa(heap), r.loader}, nil
	case r.loader != "":
		return []string{r.path, r.loader}, nil
	}
	for _, dir := range append([]string{root}, layers...) {
		if info, err := os.Stat(filepath.Join(dir, "bootstrap")); err == nil && info.Mode().IsRegular() {
			return []string{filepath.Join(dir, "bootstrap")}, nil
		}
	}
	return nil, wording("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
}

// wording is an error in AWS's words.
type wording string

func (w wording) Error() string { return string(w) }
