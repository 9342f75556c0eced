package fleet

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// regionMain runs the test binary as a region process, for tests that kill a
// region: it opens the fleet in the folder that the environment names, serves it
// on the named socket, reports that, and waits to be killed.
func regionMain() {
	dir := os.Getenv("FLEET_TEST_REGION")
	if dir == "" {
		return
	}
	f, err := New(Config{Region: "test-1", Dir: dir, Artifacts: selfArtifact{}, Balancer: newFakeBalancer(), Scaling: Scaling{Period: 50 * time.Millisecond}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	listener, err := net.Listen("unix", os.Getenv("FLEET_TEST_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	server := &http.Server{Handler: f.Handler(), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
	os.Exit(1)
}

func itoa(n int) string { return strconv.Itoa(n) }
