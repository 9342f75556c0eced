// Package ready owns the message by which a started process tells its parent that
// it is ready to serve: one line of JSON on a pipe. The environment names the
// pipe's descriptor. The parent does not poll.
package ready

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// Env names the variable that holds the pipe's descriptor.
const Env = "SHOWRUNNER_READY_FD"

// Message is the description of a ready process.
type Message struct {
	Process string            `json:"process"`           // "control", "edge", "region us-west-2"
	Listens map[string]string `json:"listens,omitempty"` // purpose → address
}

// Notify tells the parent that this process serves. It does nothing when no
// parent asked for it. It must be called at most once; afterwards, processes
// started by this one do not inherit the pipe's name.
func Notify(m Message) error {
	name := os.Getenv(Env)
	if name == "" {
		return nil
	}
	if err := os.Unsetenv(Env); err != nil {
		return err
	}
	fd, err := strconv.Atoi(name)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q is not a descriptor", Env, name)
	}
	pipe := os.NewFile(uintptr(fd), "ready")
	if pipe == nil {
		return fmt.Errorf("%s=%q is not an open descriptor", Env, name)
	}
	defer pipe.Close()
	return json.NewEncoder(pipe).Encode(m)
}
