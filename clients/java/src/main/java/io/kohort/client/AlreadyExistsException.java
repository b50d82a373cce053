// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The request id was used before with other content. */
public final class AlreadyExistsException extends RpcException {
  private static final long serialVersionUID = 1;

  AlreadyExistsException(Failure failure) {
    super(failure);
  }
}
