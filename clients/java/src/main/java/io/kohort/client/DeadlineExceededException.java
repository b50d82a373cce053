// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The timeout was over, all tries together. */
public final class DeadlineExceededException extends RpcException {
  private static final long serialVersionUID = 1;

  DeadlineExceededException(Failure failure) {
    super(failure);
  }
}
