// Command serve shows every page of the console in every state, from canned data:
//
//	go run ./web/gallery/serve
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"showrunner/web/gallery"
)

func main() {
	address := flag.String("listen", "127.0.0.1:7079", "address to serve at")
	flag.Parse()
	if err := serve(*address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s/gallery\n", l.Addr())
	s := http.Server{Handler: gallery.All(time.Now), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}
