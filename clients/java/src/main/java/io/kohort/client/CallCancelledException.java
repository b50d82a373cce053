// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/**
 * The call was cancelled on this side: by closing the client, or by interrupting the waiting thread, whose
 * interrupt flag is then set.
 */
public final class CallCancelledException extends RpcException {
  private static final long serialVersionUID = 1;

  CallCancelledException(Failure failure) {
    super(failure);
  }
}
