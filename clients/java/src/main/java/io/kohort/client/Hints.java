// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.Status;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.UnknownHostException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import javax.net.ssl.SSLException;

/** What to check when a call failed for reasons outside of it. gRPC has no codes for these, only causes and texts. */
final class Hints {
  private static final String NO_HTTP2 = "First received frame was not SETTINGS";

  private Hints() {}

  /** The code: what is no HTTP/2 server at all is a server that cannot be reached, not one with a defect. */
  static Status.Code code(Status status) {
    boolean noServer = status.getCode() == Status.Code.INTERNAL && root(status).contains(NO_HTTP2);
    return noServer ? Status.Code.UNAVAILABLE : status.getCode();
  }

  /** What happened, in one line. */
  static String message(Status status) {
    String text = status.getDescription() == null ? "" : status.getDescription().split("\n", 2)[0];
    if (text.isEmpty() || text.equals("io exception") || text.equals("http2 exception")) {
      text = root(status);
    }
    if (cause(status, ConnectException.class)) {
      // Behind the name and the number of a system call.
      text = text.substring(text.lastIndexOf("): ") + 1).replaceFirst("^: ", "");
    }
    // What other protocols sent follows in hexadecimal.
    text = text.replaceFirst("(not an SSL/TLS record|not SETTINGS).*", "$1");
    return text.isEmpty() ? status.getCode().name() : text;
  }

  private static String root(Status status) {
    Throwable root = status.getCause();
    while (root != null && root.getCause() != null) {
      root = root.getCause();
    }
    return root == null || root.getMessage() == null ? "" : root.getMessage();
  }

  private static boolean cause(Status status, Class<? extends Throwable> kind) {
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      if (kind.isInstance(cause)) {
        return true;
      }
    }
    return false;
  }

  /** Empty where the cause is not likely outside of the request. */
  static String hint(Status status, Endpoint endpoint) {
    switch (code(status)) {
      case UNIMPLEMENTED:
        return endpoint.target
            + " does not know this call: is it the gRPC port of a Kohort server, and is the server as new as this"
            + " client?";
      case DEADLINE_EXCEEDED:
        return "The timeout of this call was over; a job that the server has goes on.";
      case UNAVAILABLE:
        return unavailable(status, endpoint);
      default:
        return "";
    }
  }

  static String unreachable(Endpoint endpoint) {
    return endpoint.target + " could not be reached: check the host, the port and the network.";
  }

  private static String unavailable(Status status, Endpoint endpoint) {
    String text = status.getDescription() + " " + root(status);
    if (cause(status, CertificateExpiredException.class)) {
      return "The server's certificate has expired: renew it on the server.";
    }
    if (cause(status, CertificateNotYetValidException.class)) {
      return "The server's certificate is not valid yet: compare the clocks.";
    }
    if (text.contains("subject alternative") || text.contains("No name matching")) {
      return "The server's certificate is for another name: connect by the name it bears, or give it by"
          + " Tls.withServerName.";
    }
    if (text.contains("certification path")) {
      return "The server's certificate is signed by an authority that is not trusted here: give the authority's"
          + " certificate by Tls.withAuthorities.";
    }
    if (text.contains("not an SSL/TLS record")) {
      return "The server speaks plaintext and this client TLS: call plaintext() on the builder if that is meant, or"
          + " check the port.";
    }
    if (cause(status, SSLException.class)) {
      return tlsFailed(endpoint);
    }
    if (text.contains(NO_HTTP2)) {
      return endpoint.target + " is no gRPC port: the Kohort server listens on 50051 unless told otherwise.";
    }
    if (cause(status, UnknownHostException.class)) {
      return "The host of " + endpoint.target + " was not found.";
    }
    if (text.contains("refused")) {
      // localhost has two addresses, and the text tells of the last one only: what failed may be the other.
      if (answersHere(endpoint)) {
        return endpoint.secure ? tlsFailed(endpoint) : noGrpc(endpoint);
      }
      return "Nothing listens on " + endpoint.target + ": is the server running, and is this its port?";
    }
    if (text.contains("Network closed") || text.contains("onnection reset") || text.contains("roken pipe")) {
      return endpoint.secure
          ? endpoint.target
              + " closed the connection after TLS began: it may ask for a client certificate (Tls.withCertificate)"
              + " of an authority that it trusts."
          : noGrpc(endpoint);
    }
    return unreachable(endpoint);
  }

  private static String noGrpc(Endpoint endpoint) {
    return endpoint.target
        + " closed the connection: it may speak TLS (this client spoke plaintext), or be no gRPC port.";
  }

  private static String tlsFailed(Endpoint endpoint) {
    return "TLS with "
        + endpoint.target
        + " failed: check the authority that signed its certificate (Tls.withAuthorities), the name in it"
        + " (withServerName), whether the server asks for a client's (withCertificate), and whether it speaks TLS.";
  }

  /** Whether something listens at a port of "localhost", at either of its addresses. At once: no network. */
  private static boolean answersHere(Endpoint endpoint) {
    if (!endpoint.target.startsWith("localhost:")) {
      return false;
    }
    int port = Integer.parseInt(endpoint.target.substring("localhost:".length()));
    for (String address : new String[] {"127.0.0.1", "::1"}) {
      try (Socket socket = new Socket()) {
        socket.connect(new InetSocketAddress(address, port), 500);
        return true;
      } catch (IOException refused) {
        continue;
      }
    }
    return false;
  }
}
