// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

/** Where a client connects, and whether in the clear. Immutable. */
final class Endpoint {
  static final int DEFAULT_PORT = 50051;
  private static final String FORM = "the target is host:port, such as localhost:" + DEFAULT_PORT;

  /** As gRPC wants it. */
  final String target;

  /** Whether TLS is spoken. */
  final boolean secure;

  private Endpoint(String target, boolean secure) {
    this.target = target;
    this.secure = secure;
  }

  /**
   * Reads a target.
   *
   * @param text host:port, or such a thing behind "dns:///"; the port may be left out
   * @param secure null: unless the host is this machine
   * @throws IllegalArgumentException it is a URL, empty, or without a port that can be
   */
  static Endpoint parse(String text, Boolean secure) {
    String given = text.trim();
    if (given.matches("(?i)(https?|grpcs?)://.*")) {
      throw new IllegalArgumentException(FORM + ", not a URL");
    }
    if (given.isEmpty()) {
      throw new IllegalArgumentException("the target is empty; it is host:port, such as localhost:50051");
    }
    int slashes = given.indexOf(":///");
    String prefix = slashes < 0 ? "" : given.substring(0, slashes + 4);
    String address = given.substring(prefix.length());
    String host = host(address);
    String port = port(address, host);
    int number = port.matches("[0-9]{1,5}") ? Integer.parseInt(port) : 0;
    if (host.isEmpty() || number < 1 || number > 65535) {
      throw new IllegalArgumentException(FORM + ", not " + given);
    }
    String shown = host.contains(":") ? "[" + host + "]" : host;
    return new Endpoint(prefix + shown + ":" + port, secure != null ? secure : !isLoopback(host));
  }

  private static String host(String address) {
    if (address.startsWith("[")) {
      int end = address.indexOf(']');
      return end < 0 ? "" : address.substring(1, end);
    }
    int colon = address.indexOf(':');
    // Several colons without brackets are an IPv6 address alone.
    return colon < 0 || colon != address.lastIndexOf(':') ? address : address.substring(0, colon);
  }

  private static String port(String address, String host) {
    int end = address.startsWith("[") ? Math.min(host.length() + 2, address.length()) : host.length();
    String rest = address.substring(end);
    if (rest.isEmpty()) {
      return String.valueOf(DEFAULT_PORT);
    }
    return rest.startsWith(":") ? rest.substring(1) : "";
  }

  private static boolean isLoopback(String host) {
    return host.equals("localhost")
        || host.endsWith(".localhost")
        || host.matches("127(\\.[0-9]{1,3}){3}")
        || host.matches("(0{1,4}:){7}0{0,3}1")
        || host.equals("::1");
  }
}
