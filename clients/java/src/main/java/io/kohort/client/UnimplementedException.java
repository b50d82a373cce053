// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The server does not know this call, or does not do this yet. */
public final class UnimplementedException extends RpcException {
  private static final long serialVersionUID = 1;

  UnimplementedException(Failure failure) {
    super(failure);
  }
}
