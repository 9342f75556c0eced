package fleet

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// regionMain makes the test binary a region process of its own, for tests that
// kill one: it opens the fleet in the folder that the environment names, says so
// and waits to be killed.
func regionMain() {
	dir := os.Getenv("FLEET_TEST_REGION")
	if dir == "" {
		return
	}
	_, err := New(Config{Region: "test-1", Dir: dir, Artifacts: selfArtifact{}, Balancer: newFakeBalancer(), Scaling: Scaling{Period: 50 * time.Millisecond}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func itoa(n int) string { return strconv.Itoa(n) }
