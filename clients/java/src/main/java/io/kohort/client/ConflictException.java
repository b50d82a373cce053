// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** Somebody else changed it since it was read; read it again and repeat. */
public final class ConflictException extends RpcException {
  private static final long serialVersionUID = 1;

  ConflictException(Failure failure) {
    super(failure);
  }
}
