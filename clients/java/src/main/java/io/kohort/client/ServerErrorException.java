// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** A defect of the server; its log holds more under {@link #requestId()}. */
public final class ServerErrorException extends RpcException {
  private static final long serialVersionUID = 1;

  ServerErrorException(Failure failure) {
    super(failure);
  }
}
