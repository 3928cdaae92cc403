//! What the renderers make of a report, looked at.

use super::*;

#[test]
fn text_at_80_columns() {
    insta::assert_snapshot!(text(&sick(), PLAIN), @r"
    ✗ mysql-db: the service listens on 127.0.0.1 only              (Docker 20.10.24)

      ✓ state      ok        running for 3 min, healthy
      ✓ networks   ok        my_network: 172.18.0.2 (bridge), alias db
      ✗ listening  problem   127.0.0.1:3306/tcp (mysqld): only from inside
      – published  skipped   3306/tcp is exposed, not published: reachable on its
                             networks, not from the host
      ? outbound   unknown   DNS 127.0.0.11 does not answer

    error[listens-on-loopback-only]: `mysql-db` listens on port 3306 on 127.0.0.1
      only, so that only programs of the same container reach it
      proof  seen from `mysql-db`: tcp 127.0.0.1:3306, nothing on 0.0.0.0
             from `app`: connection refused
      fix    Make it listen on all addresses: create it again with that change
               docker stop mysql-db
               docker rename mysql-db mysql-db-old
               docker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0
      or     Set `bind-address = 0.0.0.0` in my.cnf
      also   published-port-nobody-listens: port 3306 of the host leads to nobody
      more   docker netcheck explain listens-on-loopback-only

    undecided[dns-server-unreachable, no-way-out]: a look from inside: no helper
      image
    undecided[host-has-no-route]: the host's routes
    ");
}

#[test]
fn text_at_120_columns_verbose_in_ascii() {
    let style = Style {
        width: 120,
        verbose: true,
        unicode: false,
        ..PLAIN
    };
    insta::assert_snapshot!(text(&sick(), style), @r"
    x mysql-db: the service listens on 127.0.0.1 only                                  (Docker 20.10.24)

      ok state      ok        running for 3 min, healthy
                              - asked from the Engine API: about state
                              - image mysql:8
      ok networks   ok        my_network: 172.18.0.2 (bridge), alias db
                              - asked from the Engine API: about networks
      x  listening  problem   127.0.0.1:3306/tcp (mysqld): only from inside
                              - asked from mysql-db: about listening
      -  published  skipped   3306/tcp is exposed, not published: reachable on its networks, not from the host
                              - asked from the engine's host: about published
      ?  outbound   unknown   DNS 127.0.0.11 does not answer
                              - asked from mysql-db: about outbound

    error[listens-on-loopback-only]: `mysql-db` listens on port 3306 on 127.0.0.1 only, so that only programs of the same
      container reach it
      proof  seen from `mysql-db`: tcp 127.0.0.1:3306, nothing on 0.0.0.0
             from `app`: connection refused
      fix    Make it listen on all addresses: create it again with that change
               docker stop mysql-db
               docker rename mysql-db mysql-db-old
               docker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0
      or     Set `bind-address = 0.0.0.0` in my.cnf
      also   published-port-nobody-listens: port 3306 of the host leads to nobody
      more   docker netcheck explain listens-on-loopback-only

    undecided[dns-server-unreachable, no-way-out]: a look from inside: no helper image
    undecided[host-has-no-route]: the host's routes

    looked from mysql-db, 12 ms (netns)
    ");
}

#[test]
fn text_in_colour() {
    let style = Style {
        color: true,
        ..PLAIN
    };
    let colored = text(&sick(), style);
    insta::assert_snapshot!(colored.replace('\x1b', "ESC"), @r"
    ESC[1;31m✗ESC[0m ESC[1mmysql-db: the service listens on 127.0.0.1 only              (Docker 20.10.24)ESC[0m

      ESC[32m✓ESC[0m state      ESC[32mokESC[0m        running for 3 min, healthy
      ESC[32m✓ESC[0m networks   ESC[32mokESC[0m        my_network: 172.18.0.2 (bridge), alias db
      ESC[1;31m✗ESC[0m listening  ESC[1;31mproblemESC[0m   127.0.0.1:3306/tcp (mysqld): only from inside
      ESC[2m–ESC[0m published  ESC[2mskippedESC[0m   3306/tcp is exposed, not published: reachable on its
                             networks, not from the host
      ESC[33m?ESC[0m outbound   ESC[33munknownESC[0m   DNS 127.0.0.11 does not answer

    ESC[1;31merror[listens-on-loopback-only]:ESC[0m `mysql-db` listens on port 3306 on 127.0.0.1
      only, so that only programs of the same container reach it
      ESC[2mproofESC[0m  seen from `mysql-db`: tcp 127.0.0.1:3306, nothing on 0.0.0.0
             from `app`: connection refused
      ESC[2mfixESC[0m    Make it listen on all addresses: create it again with that change
               ESC[1mdocker stop mysql-dbESC[0m
               ESC[1mdocker rename mysql-db mysql-db-oldESC[0m
               ESC[1mdocker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0ESC[0m
      ESC[2morESC[0m     Set `bind-address = 0.0.0.0` in my.cnf
      ESC[2malsoESC[0m   published-port-nobody-listens: port 3306 of the host leads to nobody
      ESC[2mmoreESC[0m   docker netcheck explain listens-on-loopback-only

    ESC[33mundecided[dns-server-unreachable, no-way-out]:ESC[0m a look from inside: no helper
      image
    ESC[33mundecided[host-has-no-route]:ESC[0m the host's routes
    ");
    assert_eq!(without_color(&colored), text(&sick(), PLAIN));
}

#[test]
fn text_at_40_columns() {
    let style = Style { width: 40, ..PLAIN };
    insta::assert_snapshot!(text(&sick(), style), @r"
    ✗ mysql-db: the service listens on
      127.0.0.1 only       (Docker 20.10.24)

      ✓ state      ok
          running for 3 min, healthy
      ✓ networks   ok
          my_network: 172.18.0.2 (bridge),
          alias db
      ✗ listening  problem
          127.0.0.1:3306/tcp (mysqld): only
          from inside
      – published  skipped
          3306/tcp is exposed, not
          published: reachable on its
          networks, not from the host
      ? outbound   unknown
          DNS 127.0.0.11 does not answer

    error[listens-on-loopback-only]:
      `mysql-db` listens on port 3306 on
      127.0.0.1 only, so that only programs
      of the same container reach it
      proof  seen from `mysql-db`: tcp
             127.0.0.1:3306, nothing on
             0.0.0.0
             from `app`: connection refused
      fix    Make it listen on all
             addresses: create it again with
             that change
               docker stop mysql-db
               docker rename mysql-db mysql-db-old
               docker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0
      or     Set `bind-address = 0.0.0.0` in
             my.cnf
      also   published-port-nobody-listens:
             port 3306 of the host leads to
             nobody
      more   docker netcheck explain listens-on-loopback-only

    undecided[dns-server-unreachable,
      no-way-out]: a look from inside: no
      helper image
    undecided[host-has-no-route]: the host's
      routes
    ");
}

#[test]
fn quiet_is_the_verdict_alone() {
    let style = Style {
        quiet: true,
        verbose: true,
        ..PLAIN
    };
    insta::assert_snapshot!(text(&sick(), style), @r"✗ mysql-db: the service listens on 127.0.0.1 only              (Docker 20.10.24)");
    assert_eq!(text(&healthy(), style), text(&healthy(), PLAIN));
}

#[test]
fn nothing_found_is_one_line() {
    assert_eq!(text(&healthy(), PLAIN), "✓ mysql-db: no problem found\n");
}

#[test]
fn as_markdown() {
    insta::assert_snapshot!(markdown(&sick()), @r"
    ## `mysql-db`: the service listens on 127.0.0.1 only

    Docker 20.10.24

    | check | status | seen | from |
    |---|---|---|---|
    | state | ✓ ok | running for 3 min, healthy | the Engine API |
    | networks | ✓ ok | my_network: 172.18.0.2 (bridge), alias db | the Engine API |
    | listening | ✗ problem | 127.0.0.1:3306/tcp (mysqld): only from inside | mysql-db |
    | published | – skipped | 3306/tcp is exposed, not published: reachable on its networks, not from the host | the engine's host |
    | outbound | ? unknown | DNS 127.0.0.11 does not answer | mysql-db |

    ### Error: `mysql-db` listens on port 3306 on 127.0.0.1 only, so that only programs of the same container reach it

    `listens-on-loopback-only`, see `docker netcheck explain listens-on-loopback-only`

    Proof:

    - seen from `mysql-db`: tcp 127.0.0.1:3306, nothing on 0.0.0.0
    - from `app`: connection refused

    Fix: Make it listen on all addresses: create it again with that change

    ```sh
    docker stop mysql-db
    docker rename mysql-db mysql-db-old
    docker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0
    ```

    Or: Set `bind-address = 0.0.0.0` in my.cnf

    What follows from it:

    - `published-port-nobody-listens`: port 3306 of the host leads to nobody

    ### Undecided

    - `dns-server-unreachable`, `no-way-out`: a look from inside: no helper image
    - `host-has-no-route`: the host's routes
    ");
}
