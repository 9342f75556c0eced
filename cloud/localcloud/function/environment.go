package function

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/problem"
)

// environment is one process with the server that it asks for work. It answers one
// request at a time.
type environment struct {
	host    *Host
	key     environmentKey
	first   driver.Invocation // without its payload
	runtime runtime
	stream  string // of its log
	dir     string // its folder
	started time.Time
	used    time.Time // guarded by Host.mu
	retired bool      // guarded by Host.mu
	held    []artifact.Ref

	listener net.Listener
	server   *http.Server
	process  *process.Process
	output   *output
	gone     chan struct{} // closed when the process has ended
	exit     process.Exit

	life sync.Mutex // held while it starts, and while it ends

	mu      sync.Mutex
	waits   bool          // the runtime waits for a request
	calls   chan struct{} // a signal that the runtime has called
	now     *invocation   // given to the runtime
	give    chan *invocation
	answer  *answer // of the present request, or of the start
	over    bool
	ended   sync.Once
	failure *answer // of the start
}

// answer is what the runtime has answered.
type answer struct {
	payload []byte
	failed  bool
}

// environment makes an environment that is not started yet.
func (h *Host) environment(in driver.Invocation) (*environment, error) {
	rt, err := h.runtimes.find(in.Workload.Runtime)
	if err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	now := h.config.Now()
	in.Payload = nil
	return &environment{
		host: h, key: keyOf(in), first: in, runtime: rt, started: now, used: now, gone: make(chan struct{}), calls: make(chan struct{}, 1), give: make(chan *invocation),
		stream: fmt.Sprintf("%s/[%s]%s", now.UTC().Format("2006/01/02"), in.Version, hex.EncodeToString(id[:])),
		dir:    filepath.Join(h.config.Dir, "environments", hex.EncodeToString(id[:])),
	}, nil
}

// start starts the process.
func (e *environment) start(ctx context.Context) error {
	e.life.Lock()
	defer e.life.Unlock()
	e.mu.Lock()
	over := e.over
	e.mu.Unlock()
	if over {
		return problem.New(problem.Unavailable, "function.start", "the region is ending")
	}
	root, err := e.hold(ctx, e.first.Workload.Artifact)
	if err != nil {
		return err
	}
	var layers []string
	for _, ref := range e.first.Layers {
		path, err := e.hold(ctx, ref)
		if err != nil {
			return err
		}
		layers = append(layers, path)
	}
	if err := os.MkdirAll(filepath.Join(e.dir, "tmp"), 0o700); err != nil {
		return err
	}
	command, err := e.runtime.command(root, layers, e.first.Workload)
	if err != nil {
		return err
	}
	if e.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	e.server = &http.Server{Handler: e.api(), ReadHeaderTimeout: time.Minute}
	go func() { _ = e.server.Serve(e.listener) }() // until it is closed
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	e.output = newOutput(reader, e.host.config.Now)
	e.process, err = e.host.system.Start(process.Program{Command: command, Dir: root, Env: e.variables(root, layers), Output: writer})
	writer.Close()
	if err != nil {
		reader.Close()
		return err
	}
	go e.output.read()
	go func() {
		e.exit = e.process.Wait()
		close(e.gone)
	}()
	return nil
}

// hold is the folder of an artifact, for as long as the environment is there.
func (e *environment) hold(ctx context.Context, ref artifact.Ref) (string, error) {
	path, err := e.host.code.use(ctx, ref)
	if err == nil {
		e.held = append(e.held, ref)
	}
	return path, err
}

// variables are the environment of the process.
func (e *environment) variables(root string, layers []string) []string {
	all := map[string]string{"PATH": os.Getenv("PATH"), "LANG": "en_US.UTF-8", "TZ": ":UTC"}
	for _, name := range e.host.config.PassEnv {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	for _, more := range []map[string]string{e.first.Env, e.first.Session} {
		for name, value := range more {
			all[name] = value
		}
	}
	before := func(name string, paths ...string) {
		if old := all[name]; old != "" {
			paths = append(paths, old)
		}
		if len(paths) > 0 {
			all[name] = strings.Join(paths, ":")
		}
	}
	var bins, libs, modules, packages []string
	for n := len(layers) - 1; n >= 0; n-- { // the last layer counts most
		bins = append(bins, filepath.Join(layers[n], "bin"))
		libs = append(libs, filepath.Join(layers[n], "lib"))
		modules = append(modules, filepath.Join(layers[n], "nodejs", "node_modules"))
		packages = append(packages, filepath.Join(layers[n], "python"))
	}
	before("PATH", bins...)
	before("LD_LIBRARY_PATH", append([]string{root, filepath.Join(root, "lib")}, libs...)...)
	before("NODE_PATH", append(modules, e.runtime.modules()...)...)
	before("PYTHONPATH", packages...)
	all["HOME"], all["TMPDIR"] = e.dir, filepath.Join(e.dir, "tmp")
	all["AWS_LAMBDA_RUNTIME_API"] = e.listener.Addr().String()
	all["AWS_LAMBDA_LOG_STREAM_NAME"] = e.stream
	all["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
	all["LAMBDA_TASK_ROOT"], all["LAMBDA_RUNTIME_DIR"] = root, e.host.runtimes.dir
	all["_HANDLER"] = e.first.Workload.Handler
	all["PYTHONUNBUFFERED"], all["PYTHONDONTWRITEBYTECODE"] = "1", "1"
	all[markName] = e.host.mark
	all[environmentMark] = filepath.Base(e.dir)
	list := make([]string, 0, len(all))
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	return list
}

// environmentMark is the variable by which what an environment left is found.
const environmentMark = "SHOWRUNNER_FUNCTION_ENVIRONMENT"

// end ends the process and everything that it has started.
func (e *environment) end() {
	e.ended.Do(func() {
		e.mu.Lock()
		e.over = true
		e.mu.Unlock()
		e.life.Lock()
		defer e.life.Unlock()
		if e.process != nil {
			e.process.Signal(syscall.SIGKILL)
			<-e.gone
			e.host.system.Sweep(environmentMark + "=" + filepath.Base(e.dir)) // what has left its process group
			e.output.close()
		}
		if e.server != nil {
			_ = e.server.Close()
		} else if e.listener != nil {
			_ = e.listener.Close()
		}
		for _, ref := range e.held {
			e.host.code.drop(ref)
		}
		if err := os.RemoveAll(e.dir); err != nil {
			e.host.config.Log.Warn("removing the folder of a function's environment", "error", err)
		}
		e.host.mu.Lock()
		delete(e.host.all, e)
		e.host.mu.Unlock()
	})
}

// free says whether the environment can answer another request.
func (e *environment) free() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || e.process == nil || !e.waits {
		return false
	}
	select {
	case <-e.gone:
		return false
	default:
		return true
	}
}

// memory is what the environment's processes use now, in bytes.
func (e *environment) memory() int64 {
	_, bytes, _ := e.process.Usage()
	return bytes
}

// failedToStart is the answer for an environment that could not be started.
func failedToStart(id string, err error) *answer {
	kind := "Runtime.InvalidEntrypoint"
	if problem.CodeOf(err) == problem.NotFound {
		kind = "Function.CodeUnavailable"
	}
	return failureOf(kind, "RequestId: "+id+" Error: "+err.Error())
}

func failureOf(kind, message string) *answer {
	return &answer{failed: true, payload: []byte(`{"errorType":` + strconv.Quote(kind) + `,"errorMessage":` + quoteJSON(message) + `}`)}
}
