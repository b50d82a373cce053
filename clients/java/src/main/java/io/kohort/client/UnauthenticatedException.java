// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** No identity, or one that does not hold. */
public final class UnauthenticatedException extends RpcException {
  private static final long serialVersionUID = 1;

  UnauthenticatedException(Failure failure) {
    super(failure);
  }
}
