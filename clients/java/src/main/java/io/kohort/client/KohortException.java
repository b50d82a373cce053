// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** What this library throws on purpose, besides {@link IllegalArgumentException} for wrong arguments. */
public class KohortException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * For the packages beside this one.
   *
   * @param message holds no cell value
   */
  protected KohortException(String message) {
    super(message);
  }

  KohortException(String message, Throwable cause) {
    super(message, cause);
  }
}
