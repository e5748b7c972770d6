from signloom.cli.main import main

raise SystemExit(main())
