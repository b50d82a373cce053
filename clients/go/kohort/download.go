// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package kohort

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"

	"google.golang.org/grpc"
)

// fileInfo announces the bytes of a download.
type fileInfo interface {
	comparable
	GetSizeBytes() int64
	GetSha256() []byte
}

// filePart is a message of a download: the announcement first, then bytes.
type filePart[R any, I fileInfo] interface {
	*R
	GetHeader() I
	GetData() []byte
}

// download writes a stream of bytes to w and checks them.
func download[I fileInfo, Q, R any, P filePart[R, I]](
	ctx context.Context, c *Client, w io.Writer,
	open func(context.Context, *Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error), request *Q,
) (I, error) {
	attempts, cancel := c.attempts(ctx, c.settings.timeouts.Transfer)
	defer cancel()
	state := &downloading[I]{w: w, digest: sha256.New()}
	for {
		err := func() error {
			stream, err := open(attempts.ctx(), request)
			if err != nil {
				return err
			}
			state.restart()
			for {
				message, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return state.ended()
				}
				if err != nil {
					return err
				}
				attempts.progressed()
				if err := state.take(P(message).GetHeader(), P(message).GetData()); err != nil {
					return err
				}
			}
		}()
		if err == nil {
			return state.info, nil
		}
		if err := attempts.again(err); err != nil {
			var none I
			return none, err
		}
	}
}

// downloading is how far a download is, over all of its tries.
type downloading[I fileInfo] struct {
	w       io.Writer
	digest  hash.Hash
	info    I     // what the first stream announced
	begun   bool  // this stream has sent its header
	at      int64 // bytes of this stream
	written int64 // bytes that w has
}

func (d *downloading[I]) restart() {
	d.begun, d.at = false, 0
}

func (d *downloading[I]) take(header I, data []byte) error {
	var none I
	if (header != none) == d.begun {
		return &IntegrityError{"the download's messages came in the wrong order"}
	}
	if !d.begun {
		d.begun = true
		if d.info != none && (d.info.GetSizeBytes() != header.GetSizeBytes() ||
			!bytes.Equal(d.info.GetSha256(), header.GetSha256())) {
			return &IntegrityError{"the download changed while it was resumed"}
		}
		d.info = header
		return nil
	}
	begin := d.at
	d.at += int64(len(data))
	if d.at > d.info.GetSizeBytes() {
		return &IntegrityError{"the download is larger than announced"}
	}
	// An earlier try has written what comes before.
	fresh := data[min(max(d.written-begin, 0), int64(len(data))):]
	d.digest.Write(fresh)
	n, err := d.w.Write(fresh)
	d.written += int64(n)
	if err != nil {
		return callerError{err}
	}
	return nil
}

func (d *downloading[I]) ended() error {
	if !d.begun || d.at != d.info.GetSizeBytes() {
		return &IntegrityError{"the download is incomplete"}
	}
	if !bytes.Equal(d.digest.Sum(nil), d.info.GetSha256()) {
		return &IntegrityError{"the download does not have its digest"}
	}
	return nil
}
