// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** How a client connects. Not safe to use from several threads; {@link #build()} may be called repeatedly. */
public final class KohortClientBuilder {
  static final String USER_AGENT = "kohort-java/0.1.0";

  private final String target;
  private final Metadata metadata = new Metadata();
  private Tls tls;
  private boolean plaintext;
  private Supplier<String> token = () -> "";
  private Retry retry = Retry.DEFAULT;
  private KeepAlive keepAlive = KeepAlive.DEFAULT;
  private Timeouts timeouts = Timeouts.DEFAULT;
  private Executor executor;

  KohortClientBuilder(String target) {
    this.target = Objects.requireNonNull(target);
  }

  /**
   * Speaks TLS. By default a client does, with {@link Tls#system()}, unless the host is this machine.
   *
   * @param tls how
   * @return this
   */
  public KohortClientBuilder tls(Tls tls) {
    this.tls = Objects.requireNonNull(tls);
    this.plaintext = false;
    return this;
  }

  /**
   * Speaks in the clear, whatever the host is: tokens and rows can then be read on the way.
   *
   * @return this
   */
  public KohortClientBuilder plaintext() {
    this.tls = null;
    this.plaintext = true;
    return this;
  }

  /**
   * Identifies the caller. The token travels in the clear only to this machine, or to others after {@link #plaintext}.
   *
   * @param token a bearer token; white space around it, as at the end of a file, is left out
   * @return this
   * @throws IllegalArgumentException it holds a character that no bearer token has
   */
  public KohortClientBuilder token(String token) {
    String trimmed = Settings.bearer(Objects.requireNonNull(token));
    return token(() -> trimmed);
  }

  /**
   * Identifies the caller by tokens that change.
   *
   * @param token gives the current bearer token for each try of a call, from any thread; null or empty sends none;
   *     what it throws, the call throws
   * @return this
   */
  public KohortClientBuilder token(Supplier<String> token) {
    this.token = Objects.requireNonNull(token);
    return this;
  }

  /**
   * Sends metadata with every call.
   *
   * @param key lower-case ASCII; not ending in "-bin"
   * @param value printable ASCII
   * @return this
   * @throws IllegalArgumentException one of them is not
   */
  public KohortClientBuilder metadata(String key, String value) {
    metadata.put(Connection.key(key), Settings.printable(key, value));
    return this;
  }

  /**
   * When calls are tried again.
   *
   * @param retry by default {@link Retry#DEFAULT}
   * @return this
   */
  public KohortClientBuilder retry(Retry retry) {
    this.retry = Objects.requireNonNull(retry);
    return this;
  }

  /**
   * Pings that notice a dead connection.
   *
   * @param keepAlive by default {@link KeepAlive#DEFAULT}
   * @return this
   */
  public KohortClientBuilder keepAlive(KeepAlive keepAlive) {
    this.keepAlive = Objects.requireNonNull(keepAlive);
    return this;
  }

  /**
   * How long calls may take.
   *
   * @param timeouts by default {@link Timeouts#DEFAULT}
   * @return this
   */
  public KohortClientBuilder timeouts(Timeouts timeouts) {
    this.timeouts = Objects.requireNonNull(timeouts);
    return this;
  }

  /**
   * Where {@link Job#progress()} delivers and {@link Job#resultAsync()} completes. It is not shut down with the
   * client. By default daemon threads of the client's own, which end with it.
   *
   * @param executor runs short tasks, at times for as long as one call takes
   * @return this
   */
  public KohortClientBuilder executor(Executor executor) {
    this.executor = Objects.requireNonNull(executor);
    return this;
  }

  /**
   * Makes the client. Nothing is sent before its first call.
   *
   * @return a client; close it when done
   * @throws IllegalArgumentException the target is a URL, empty, or without a port that can be; or a file of
   *     {@link Tls} is no PEM of its kind
   * @throws java.io.UncheckedIOException a file of {@link Tls} cannot be read
   */
  public KohortClient build() {
    Boolean secure = plaintext ? Boolean.FALSE : tls == null ? null : Boolean.TRUE;
    Endpoint endpoint = Endpoint.parse(target, secure);
    Tls used = tls == null ? Tls.system() : tls;
    ChannelCredentials credentials =
        endpoint.secure ? used.credentials() : InsecureChannelCredentials.create();
    ManagedChannelBuilder<?> channel =
        Grpc.newChannelBuilder(endpoint.target, credentials)
            .userAgent(USER_AGENT)
            // Tries are counted in Attempts, under one deadline; grpc's own would multiply them.
            .disableRetry()
            .disableServiceConfigLookUp()
            .keepAliveTime(Settings.nanos(keepAlive.interval()), TimeUnit.NANOSECONDS)
            .keepAliveTimeout(Settings.nanos(keepAlive.timeout()), TimeUnit.NANOSECONDS)
            .keepAliveWithoutCalls(keepAlive.withoutCalls());
    if (endpoint.secure && used.serverName() != null) {
      channel.overrideAuthority(used.serverName());
    }
    ExecutorService own = executor == null ? Threads.daemons() : null;
    Closing closing = new Closing(own == null ? () -> {} : own::shutdown);
    Metadata extra = new Metadata();
    extra.merge(metadata);
    return new KohortClient(
        new Connection(
            channel.build(), endpoint, retry, timeouts, token, extra, own == null ? executor : own, closing));
  }
}
