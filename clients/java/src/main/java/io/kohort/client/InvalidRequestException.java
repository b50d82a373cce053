// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** The request or the data breaks a documented rule; found here or by the server. */
public class InvalidRequestException extends RpcException {
  private static final long serialVersionUID = 1;

  InvalidRequestException(Failure failure) {
    super(failure);
  }
}
