//go:build !linux || race

package http

import "net"

func quick(conn net.Conn) net.Conn { return conn }
