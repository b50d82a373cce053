// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Status;

/** What to check when a call failed for reasons outside of it. gRPC has no codes for these, only texts. */
final class Hints {
  private Hints() {}

  /** What happened, in one line. */
  static String message(Status status) {
    String text = status.getDescription() == null ? "" : status.getDescription().split("\n", 2)[0];
    Throwable root = status.getCause();
    while (root != null && root.getCause() != null) {
      root = root.getCause();
    }
    if (text.isEmpty() || text.equals("io exception")) {
      text = root == null || root.getMessage() == null ? status.getCode().name() : root.getMessage();
    }
    return text;
  }

  /** Empty where the cause is not likely outside of the request. */
  static String hint(Status status, Endpoint endpoint) {
    switch (status.getCode()) {
      case UNIMPLEMENTED:
        return endpoint.target
            + " does not know this call: is it the gRPC port of a Kohort server, and is the server as new as this"
            + " client?";
      case DEADLINE_EXCEEDED:
        return "The timeout of this call was over; a job that the server has goes on.";
      case UNAVAILABLE:
        return unreachable(endpoint);
      default:
        return "";
    }
  }

  static String unreachable(Endpoint endpoint) {
    return endpoint.target + " could not be reached: check the host, the port and the network.";
  }
}
