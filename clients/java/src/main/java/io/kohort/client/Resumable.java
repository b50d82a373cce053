// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.MethodDescriptor;

/**
 * The state of a server stream that can be resumed where it broke. See {@link Following}.
 *
 * @param <Q> the request
 * @param <R> the messages
 */
interface Resumable<Q, R> {
  MethodDescriptor<Q, R> method();

  /** The request that goes on where the messages so far ended. */
  Q request();

  /** Takes a message. */
  void receive(R message);

  /** The server ended the stream well: whether it is complete. False resumes it. */
  boolean ended();

  /** The stream broke: whether the error is dealt with and the request to be sent again at once. */
  default boolean broken(RpcException error) {
    return false;
  }

  /** Whether nothing is missing, so that a break no longer matters. */
  default boolean complete() {
    return false;
  }
}
