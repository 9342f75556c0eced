// Package server wires everything: it makes the parts of a control plane know
// each other from explicit lists, and supervises the processes of a whole on
// one machine. It refuses to own behaviour: what happens is the parts' affair.
package server
