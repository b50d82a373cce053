// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

/**
 * From a database to Kohort and back: {@link io.kohort.client.jdbc.Jdbc}. Needs the module java.sql and a driver.
 *
 * @serial exclude
 */
package io.kohort.client.jdbc;
