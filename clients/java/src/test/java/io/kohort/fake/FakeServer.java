// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import io.grpc.BindableService;
import io.grpc.Context;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** A server on this machine that speaks the contract and fails as it is told. */
public final class FakeServer implements AutoCloseable {
  private final Map<String, Queue<StatusRuntimeException>> refusals = new ConcurrentHashMap<>();
  private final Set<String> unanswered = ConcurrentHashMap.newKeySet();
  private final List<Call> calls = new CopyOnWriteArrayList<>();
  private final Server server;

  private FakeServer(int port, ServerCredentials credentials, BindableService... services) {
    ServerBuilder<?> builder =
        Grpc.newServerBuilderForPort(port, credentials).intercept(new Recorder());
    for (BindableService service : services) {
      builder.addService(service);
    }
    try {
      server = builder.executor(command -> new Thread(command, "fake-server").start()).build().start();
    } catch (IOException taken) {
      throw new UncheckedIOException(taken);
    }
  }

  /** A server in the clear on a free port. */
  public static FakeServer start(BindableService... services) {
    return onPort(0, services);
  }

  /** A server in the clear on this port; 0 for a free one. */
  public static FakeServer onPort(int port, BindableService... services) {
    return new FakeServer(port, InsecureServerCredentials.create(), services);
  }

  /** A server that speaks TLS. */
  public static FakeServer secure(ServerCredentials credentials, BindableService... services) {
    return new FakeServer(0, credentials, services);
  }

  /** The port it listens on. */
  public int port() {
    return server.getPort();
  }

  /** Where clients connect. */
  public String target() {
    return "localhost:" + port();
  }

  /** The next call of this method, such as "GetModel", is refused; several refusals queue up. */
  public void refuse(String method, StatusRuntimeException error) {
    refusals.computeIfAbsent(method, name -> new ConcurrentLinkedQueue<>()).add(error);
  }

  /** Calls of this method are never answered. */
  public void ignore(String method) {
    unanswered.add(method);
  }

  /** The calls of a method so far, refused ones included. */
  public List<Call> calls(String method) {
    return calls.stream().filter(call -> call.method.equals(method)).collect(Collectors.toList());
  }

  @Override
  public void close() {
    server.shutdownNow();
    try {
      server.awaitTermination(5, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** A call that arrived. */
  public static final class Call {
    private final String method;
    private final Metadata headers;
    private volatile boolean cancelled;

    Call(String method, Metadata headers) {
      this.method = method;
      this.headers = headers;
    }

    /** A header, or null. */
    public String header(String name) {
      return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
    }

    /** Whether the client left it. */
    public boolean cancelled() {
      return cancelled;
    }
  }

  private final class Recorder implements ServerInterceptor {
    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
      String method = call.getMethodDescriptor().getBareMethodName();
      Call seen = new Call(method, headers);
      calls.add(seen);
      Queue<StatusRuntimeException> refused = refusals.get(method);
      StatusRuntimeException error = refused == null ? null : refused.poll();
      if (error != null) {
        Metadata trailers = error.getTrailers() == null ? new Metadata() : error.getTrailers();
        call.close(error.getStatus(), trailers);
        return new ServerCall.Listener<>() {};
      }
      // Told at once, even while the handler of the call waits.
      Context.current().addListener(context -> seen.cancelled = context.cancellationCause() != null, Runnable::run);
      return unanswered.contains(method) ? new ServerCall.Listener<>() {} : next.startCall(call, headers);
    }
  }

  /** The status that a call is closed with when nothing else is said. */
  public static StatusRuntimeException unavailable() {
    return Status.UNAVAILABLE.withDescription("gone for now").asRuntimeException();
  }
}
