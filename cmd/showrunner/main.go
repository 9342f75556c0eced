// Command showrunner is the whole of Showrunner: the servers and the command line.
package main

import (
	"os"

	"showrunner/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.System())) }
