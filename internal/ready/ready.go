// Package ready owns how a process that was started by another says that it is
// ready to serve: one line of JSON on a pipe whose descriptor the environment
// names. Nobody polls.
package ready

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

// Env names the variable that holds the pipe's descriptor.
const Env = "SHOWRUNNER_READY_FD"

// Message is what a process says of itself.
type Message struct {
	Process string            `json:"process"`           // "control", "edge", "region us-west-2"
	Listens map[string]string `json:"listens,omitempty"` // what for → address
}

// Notify tells the starter that this process serves. Without a starter that
// asked, it does nothing. It must be called at most once; afterwards processes
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
		return fmt.Errorf("%s=%q is no descriptor", Env, name)
	}
	pipe := os.NewFile(uintptr(fd), "ready")
	if pipe == nil {
		return fmt.Errorf("%s=%q is no open descriptor", Env, name)
	}
	defer pipe.Close()
	return json.NewEncoder(pipe).Encode(m)
}
