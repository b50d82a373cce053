// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The request is well-formed, but something else stands against it now. */
public class FailedPreconditionException extends RpcException {
  private static final long serialVersionUID = 1;

  FailedPreconditionException(Failure failure) {
    super(failure);
  }
}
