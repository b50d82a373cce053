// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.time.Duration;

/**
 * How long calls may take, all tries together. Immutable; begin with {@link #DEFAULT}. Waiting for a job has no
 * limit but the one that is given there.
 */
public final class Timeouts {
  /** 5 s to connect, 30 s for a call, 1 h for a transfer. */
  public static final Timeouts DEFAULT =
      new Timeouts(Duration.ofSeconds(5), Duration.ofSeconds(30), Duration.ofHours(1));

  private final Duration connect;
  private final Duration call;
  private final Duration transfer;

  private Timeouts(Duration connect, Duration call, Duration transfer) {
    this.connect = connect;
    this.call = call;
    this.transfer = transfer;
  }

  /**
   * For one try to open a connection.
   *
   * @return 5 seconds by default
   */
  public Duration connect() {
    return connect;
  }

  /**
   * For calls that ask one thing and get one answer.
   *
   * @return 30 seconds by default; null is no limit
   */
  public Duration call() {
    return call;
  }

  /**
   * For uploads, samples, downloads and imports.
   *
   * @return 1 hour by default; null is no limit
   */
  public Duration transfer() {
    return transfer;
  }

  /**
   * The same with another limit for connecting.
   *
   * @param connect positive
   * @return other timeouts
   * @throws IllegalArgumentException it is not positive
   */
  public Timeouts withConnect(Duration connect) {
    return new Timeouts(Settings.positive("connect", connect), call, transfer);
  }

  /**
   * The same with another limit for calls.
   *
   * @param call positive, or null for no limit
   * @return other timeouts
   * @throws IllegalArgumentException it is not positive
   */
  public Timeouts withCall(Duration call) {
    return new Timeouts(connect, call == null ? null : Settings.positive("call", call), transfer);
  }

  /**
   * The same with another limit for transfers.
   *
   * @param transfer positive, or null for no limit
   * @return other timeouts
   * @throws IllegalArgumentException it is not positive
   */
  public Timeouts withTransfer(Duration transfer) {
    return new Timeouts(connect, call, transfer == null ? null : Settings.positive("transfer", transfer));
  }
}
