"""`python -m amarre` is `amarre`."""

from amarre.cli import main

if __name__ == "__main__":
    main()
