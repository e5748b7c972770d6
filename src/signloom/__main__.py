from signloom.cli import main

raise SystemExit(main())
