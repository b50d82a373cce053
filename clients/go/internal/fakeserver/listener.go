// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"net"
	"sync"
)

// listener remembers its connections, so that they can be cut.
type listener struct {
	net.Listener
	mutex  sync.Mutex
	open   map[*connection]bool
	limits []int64
	opened int
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	c := &connection{Conn: inner, listener: l, left: -1}
	if len(l.limits) > 0 {
		c.left, l.limits = l.limits[0], l.limits[1:]
	}
	l.open[c] = true
	l.opened++
	return c, nil
}

func (l *listener) cut() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for c := range l.open {
		_ = c.Conn.Close()
	}
	clear(l.open)
}

func (l *listener) count() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.opened
}

func (l *listener) after(bytes []int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.limits = append(l.limits, bytes...)
}

// connection may end after so many written bytes; left is negative where it may not.
type connection struct {
	net.Conn
	listener *listener
	mutex    sync.Mutex
	left     int64
}

// Write implements net.Conn.
func (c *connection) Write(data []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.left < 0 {
		return c.Conn.Write(data)
	}
	n, err := c.Conn.Write(data[:min(c.left, int64(len(data)))])
	c.left -= int64(n)
	if err == nil && c.left == 0 {
		err = net.ErrClosed
		_ = c.Conn.Close()
	}
	return n, err
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.listener.mutex.Lock()
	delete(c.listener.open, c)
	c.listener.mutex.Unlock()
	return c.Conn.Close()
}
