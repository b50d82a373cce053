// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** A stream brought rows or bytes that are incomplete or do not have their digest. */
public final class IntegrityException extends KohortException {
  private static final long serialVersionUID = 1;

  IntegrityException(String message) {
    super(message);
  }

  IntegrityException(String message, Throwable cause) {
    super(message, cause);
  }
}
